package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
)

// Our source packs an archive as many gzip members, each of a few files, and takes over from the revision before those
// in which nothing changed. What was unpacked of one revision need not be unpacked again for the next. A member goes by
// the digest of its packed bytes, which is made here: the key in its header is what a stranger claims.

const (
	memberHead  = 40                                                           // bytes
	memberStart = "\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x1c\x00PS\x18\x00" // then a key, a length and a checksum
	memberLimit = 20_000                                                       // of one archive
	tarBlock    = 512
)

type memberKey [sha256.Size]byte

// member is what a gzip member unpacked to. It never changes, but for the number of its trees.
type member struct {
	key     memberKey
	entries []Entry
	size    int64 // of contents
	last    bool  // the archive ends in it

	trees int // that are kept; the cache's lock guards it
}

// membersOf unpacks only those members that no kept tree holds. Nil: the archive is to be read as one stream, because
// it is not of our source, or because there is something wrong with it, which is said better there.
func (c *TreeCache) membersOf(archive *Packed, fence Fence) []*member {
	reader := memberReader{archive: bufio.NewReaderSize(archive, readAhead), left: archive.Size()}
	var members []*member
	var size int64
	count := 0
	for reader.left > 0 {
		packed := reader.next()
		if packed == nil || len(members) >= memberLimit {
			return nil
		}
		found := c.memberOf(packed, fence)
		if found == nil || (found.last && reader.left > 0) {
			return nil
		}
		members = append(members, found)
		size += found.size
		count += len(found.entries)
		if size > fence.totalBytes || count > entryLimit {
			return nil
		}
	}
	return members
}

// memberReader cuts an archive into members as their headers have them.
type memberReader struct {
	archive *bufio.Reader
	left    int64
	packed  []byte
}

// next answers the next member's bytes, which the one after it overwrites; nil if it is none of ours.
func (r *memberReader) next() []byte {
	head, err := r.archive.Peek(memberHead)
	if err != nil || string(head[:len(memberStart)]) != memberStart {
		return nil
	}
	length := memberHead + int64(binary.LittleEndian.Uint32(head[32:36]))
	if length > r.left {
		return nil
	}
	r.packed = slices.Grow(r.packed[:0], int(length))[:length]
	if _, err := io.ReadFull(r.archive, r.packed); err != nil {
		return nil
	}
	r.left -= length
	return r.packed
}

func (c *TreeCache) memberOf(packed []byte, fence Fence) *member {
	key := memberKey(sha256.Sum256(packed))
	c.lock.Lock()
	known := c.members[key]
	c.lock.Unlock()
	if known != nil {
		return known
	}
	return readMember(key, packed, fence)
}

// readMember unpacks a member that can stand alone: its header told the truth about its length, and what is in it
// means the same with and without what comes before.
func readMember(key memberKey, packed []byte, fence Fence) *member {
	source := bytes.NewReader(packed)
	unzipped, err := gzip.NewReader(source)
	if err != nil {
		return nil
	}
	unzipped.Multistream(false)
	blocks, err := io.ReadAll(fence.stream(unzipped))
	if err != nil || source.Len() > 0 {
		return nil
	}
	alone, last := standsAlone(blocks)
	if !alone {
		return nil
	}
	entries, err := entriesOf(bytes.NewReader(blocks), fence)
	if err != nil {
		return nil
	}
	read := &member{key: key, entries: entries, last: last}
	for index := range entries {
		read.size += int64(len(entries[index].content))
		entries[index].header = nil
	}
	return read
}

// standsAlone: whole files, each with all that is told of it. The second answer: they are followed by the end of a tar.
func standsAlone(blocks []byte) (alone, last bool) {
	told := false
	for len(blocks) >= tarBlock {
		header := blocks[:tarBlock]
		if len(bytes.Trim(header, "\x00")) == 0 {
			return !told && len(bytes.Trim(blocks, "\x00")) == 0, true
		}
		size, ok := octal(header[124:136])
		whole := tarBlock + (size+tarBlock-1)/tarBlock*tarBlock
		if !ok || whole > int64(len(blocks)) {
			return false, false
		}
		switch header[156] {
		case 'x': // tells of the next; one that tells a size would be read otherwise than here
			told = true
			if bytes.Contains(blocks[tarBlock:whole], []byte("size=")) {
				return false, false
			}
		case '0', '5':
			told = false
		default:
			return false, false
		}
		blocks = blocks[whole:]
	}
	return !told && len(blocks) == 0, false
}

// octal reads a number as our source writes it: digits, then a zero byte or a space.
func octal(field []byte) (int64, bool) {
	var value int64
	for _, digit := range bytes.TrimRight(field, "\x00 ") {
		if digit < '0' || digit > '7' {
			return 0, false
		}
		value = value<<3 | int64(digit-'0')
	}
	return value, true
}
