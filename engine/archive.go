package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"
	"unicode/utf8"
)

const (
	entryLimit = 100_000 // files and directories of one archive
	depthLimit = 64      // path segments
	pathLimit  = 4096    // bytes of a path, as in Linux
	mebibyte   = 1 << 20
	readAhead  = 256 << 10
)

// Fence says what an archive may hold.
type Fence struct {
	totalBytes int64
	fileBytes  int64
	links      bool // true: links are left out, as this field's consumers do; false: refused
}

// Entry is a regular file of an archive.
type Entry struct {
	path    string
	content []byte
	header  *tar.Header
}

// unpack reads a gzipped tar into memory, in the archive's order. Directories are implied by their files.
func unpack(archive io.Reader, fence Fence) ([]Entry, error) {
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(archive, readAhead))
	if err != nil {
		return nil, refuse("not a gzipped archive: %v", err)
	}
	return entriesOf(fence.stream(unzipped), fence)
}

// stream: headers cost nothing of the budget for content, so what is unpacked has a budget of its own.
func (f Fence) stream(unzipped io.Reader) io.Reader {
	return &budgetReader{from: unzipped, left: 2*f.totalBytes + mebibyte}
}

func entriesOf(blocks io.Reader, fence Fence) ([]Entry, error) {
	reader, entries, left := tar.NewReader(blocks), []Entry{}, fence.totalBytes
	for count := 0; ; count++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, unreadable(err)
		}
		if count >= entryLimit {
			return nil, limited("the archive has more than %d entries", entryLimit)
		}
		wanted, err := admit(header, fence, left)
		if err != nil {
			return nil, err
		}
		if !wanted {
			continue
		}
		content := make([]byte, header.Size)
		if _, err := io.ReadFull(reader, content); err != nil {
			return nil, unreadable(err)
		}
		left -= header.Size
		entries = append(entries, Entry{path.Clean(header.Name), content, header})
	}
}

// admit decides by an entry's header alone whether it is read, left out, or makes the archive unfit.
func admit(header *tar.Header, fence Fence, left int64) (bool, error) {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return false, nil
	}
	if err := checkPath(header.Name); err != nil {
		return false, err
	}
	switch header.Typeflag {
	case tar.TypeReg:
		return true, checkSize(header, fence, left)
	case tar.TypeDir:
		return false, nil
	case tar.TypeSymlink, tar.TypeLink:
		if fence.links {
			return false, nil
		}
		return false, refuse("the archive holds a link: %q", header.Name)
	default:
		return false, refuse("the archive holds something that is neither file nor directory: %q", header.Name)
	}
}

func checkSize(header *tar.Header, fence Fence, left int64) error {
	if header.Size > fence.fileBytes {
		return limited("%q is larger than %d MiB", header.Name, fence.fileBytes/mebibyte)
	}
	if header.Size > left {
		return limited("the archive holds more than %d MiB", fence.totalBytes/mebibyte)
	}
	return nil
}

func checkPath(name string) error {
	switch {
	case len(name) > pathLimit || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\\"):
		return refuse("the archive holds a malformed path: %.80q", name)
	case path.IsAbs(name):
		return refuse("the archive holds an absolute path: %.80q", name)
	}
	segments := strings.Split(strings.TrimSuffix(name, "/"), "/")
	if len(segments) > depthLimit {
		return limited("the archive is more than %d directories deep: %.80q", depthLimit, name)
	}
	for _, segment := range segments {
		if segment == ".." {
			return refuse("the archive holds a path that leads out of it: %.80q", name)
		}
	}
	return nil
}

func unreadable(err error) error {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	return refuse("the archive cannot be read: %v", err)
}

// budgetReader fails once more was read than it has, instead of ending early as io.LimitReader does.
type budgetReader struct {
	from io.Reader
	left int64
}

func (r *budgetReader) Read(into []byte) (int, error) {
	if r.left <= 0 {
		return 0, limited("the archive unpacks to more than it may")
	}
	if int64(len(into)) > r.left {
		into = into[:r.left]
	}
	size, err := r.from.Read(into)
	r.left -= int64(size)
	return size, err
}
