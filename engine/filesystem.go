package main

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// mountPoint is where a tree appears to kustomize. Nothing lies beside it and nothing above it, so a path
// that leaves the artifact finds nothing, and "/" is no directory that could hold everything.
const mountPoint = "/artifact"

// buildFiles is the file system of one build: a tree, over it the files that we generate, around it the
// trace of what was asked, and before each kustomization file the check of what it may do.
type buildFiles struct {
	tree      *Tree
	generated map[string][]byte // by path in the tree; never part of the trace
	pieces    map[string][]byte // of files that were read before, what kustomize gets of them now
	trace     *Trace
	inspect   func(file string, content []byte) error
	refusal   error // the first thing that inspect refused: kustomize buries it in its own words
}

var errReadOnly = errors.New("the artifact cannot be written to")

// locate translates kustomize's path; false when it lies outside of the tree.
func locate(name string) (string, bool) {
	name = filepath.Clean(name)
	if name == mountPoint {
		return ".", true
	}
	return strings.CutPrefix(name, mountPoint+"/")
}

func (b *buildFiles) ReadFile(name string) ([]byte, error) {
	inside, ok := locate(name)
	if !ok {
		return nil, notFound("read", name)
	}
	if piece, ok := b.pieces[inside]; ok {
		return piece, nil
	}
	content, ok := b.generated[inside]
	if !ok {
		b.trace.asked(askedContent, inside)
		content, ok = b.tree.files[inside]
	}
	if !ok {
		return nil, notFound("read", name)
	}
	if err := b.inspect(inside, content); err != nil {
		if b.refusal == nil {
			b.refusal = err
		}
		return nil, err
	}
	return content, nil
}

func (b *buildFiles) IsDir(name string) bool  { return b.kind(name) == "directory" }
func (b *buildFiles) Exists(name string) bool { return b.kind(name) != "absent" }

func (b *buildFiles) kind(name string) string {
	inside, ok := locate(name)
	if !ok {
		return "absent"
	}
	if _, ok := b.generated[inside]; ok {
		return "file"
	}
	b.trace.asked(askedKind, inside)
	return b.tree.kind(inside)
}

func (b *buildFiles) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	name = filepath.Clean(name)
	switch b.kind(name) {
	case "directory":
		return filesys.ConfirmedDir(name), "", nil
	case "file":
		return filesys.ConfirmedDir(path.Dir(name)), path.Base(name), nil
	default:
		return "", "", notFound("find", name)
	}
}

func (b *buildFiles) ReadDir(name string) ([]string, error) {
	entries, err := b.list(name)
	names := make([]string, len(entries))
	for index, entry := range entries {
		names[index] = strings.TrimSuffix(entry, "/")
	}
	return names, err
}

// list answers a directory's entries, sub-directories with a trailing slash.
func (b *buildFiles) list(name string) ([]string, error) {
	inside, ok := locate(name)
	if !ok {
		return nil, notFound("list", name)
	}
	b.trace.asked(askedNames, inside)
	entries, ok := b.tree.directories[inside]
	if !ok {
		return nil, notFound("list", name)
	}
	return entries, nil
}

func notFound(operation, name string) error {
	return &fs.PathError{Op: operation, Path: name, Err: fs.ErrNotExist}
}

// kustomize reads files and asks for directories; the rest of its interface it does not use in a build.

func (b *buildFiles) Open(string) (filesys.File, error)    { return nil, errReadOnly }
func (b *buildFiles) Create(string) (filesys.File, error)  { return nil, errReadOnly }
func (b *buildFiles) Mkdir(string) error                   { return errReadOnly }
func (b *buildFiles) MkdirAll(string) error                { return errReadOnly }
func (b *buildFiles) RemoveAll(string) error               { return errReadOnly }
func (b *buildFiles) WriteFile(string, []byte) error       { return errReadOnly }
func (b *buildFiles) Glob(string) ([]string, error)        { return nil, errReadOnly }
func (b *buildFiles) Walk(string, filepath.WalkFunc) error { return errReadOnly }
