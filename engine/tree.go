package main

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strings"
	"sync"
)

// Tree is an unpacked artifact in memory. Paths are relative and clean; the root is ".".
// It never changes, so any number of builds share it.
type Tree struct {
	files       map[string][]byte
	directories map[string][]string // names of entries, sorted, directories with a trailing slash
	size        int64               // of all paths and contents
	own         int64               // the part of it that no other tree can share
	members     []*member           // that hold the rest

	hashes sync.Map // path -> hex digest, computed when first asked for
}

func newTree(entries []Entry) (*Tree, error) {
	tree, err := treeWith(entries)
	if err != nil {
		return nil, err
	}
	tree.own = tree.size
	return tree, nil
}

// treeOf is a tree that shares its contents with others that have the same members.
func treeOf(members []*member) (*Tree, error) {
	var entries []Entry
	var shared int64
	for _, each := range members {
		entries = append(entries, each.entries...)
		shared += each.size
	}
	tree, err := treeWith(entries)
	if err != nil {
		return nil, err
	}
	tree.members, tree.own = members, tree.size-shared
	return tree, nil
}

func treeWith(entries []Entry) (*Tree, error) {
	tree := &Tree{files: map[string][]byte{}, directories: map[string][]string{".": nil}}
	for _, entry := range entries {
		if err := tree.add(entry.path, entry.content); err != nil {
			return nil, err
		}
	}
	for _, names := range tree.directories {
		slices.SortFunc(names, byName)
	}
	return tree, nil
}

// byName is the order of a directory walk, where a slash that marks a directory does not count.
func byName(a, b string) int {
	return strings.Compare(strings.TrimSuffix(a, "/"), strings.TrimSuffix(b, "/"))
}

func (t *Tree) add(name string, content []byte) error {
	if _, twice := t.files[name]; twice {
		return refuse("the archive holds %q twice", name)
	}
	if _, isDirectory := t.directories[name]; isDirectory {
		return refuse("the archive holds %q both as a file and as a directory", name)
	}
	if err := t.addDirectory(path.Dir(name)); err != nil {
		return err
	}
	t.files[name] = content
	t.size += int64(len(content) + len(name))
	t.enlist(name, path.Base(name))
	return nil
}

func (t *Tree) addDirectory(name string) error {
	if _, known := t.directories[name]; known {
		return nil
	}
	if _, isFile := t.files[name]; isFile {
		return refuse("the archive holds %q both as a file and as a directory", name)
	}
	if err := t.addDirectory(path.Dir(name)); err != nil {
		return err
	}
	t.directories[name] = nil
	t.enlist(name, path.Base(name)+"/")
	return nil
}

func (t *Tree) enlist(name, entry string) {
	parent := path.Dir(name)
	t.directories[parent] = append(t.directories[parent], entry)
}

// hash is the digest of a file's content, or what stands in its place.
func (t *Tree) hash(name string) string {
	content, ok := t.files[name]
	if !ok {
		return t.kind(name)
	}
	if known, ok := t.hashes.Load(name); ok {
		return known.(string)
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	t.hashes.Store(name, digest)
	return digest
}

// kind is "file", "directory" or "absent".
func (t *Tree) kind(name string) string {
	if _, ok := t.files[name]; ok {
		return "file"
	}
	if _, ok := t.directories[name]; ok {
		return "directory"
	}
	return "absent"
}

func (t *Tree) listing(name string) string {
	names, ok := t.directories[name]
	if !ok {
		return t.kind(name)
	}
	return strings.Join(names, "\x00")
}
