package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Readable is the one directory whose files requests may name. It is opened before the jail closes, and
// neither `..` nor a symbolic link leads out of it.
type Readable struct {
	path string
	root *os.Root
}

func openReadable(path string) (*Readable, error) {
	if path == "" {
		return &Readable{}, nil
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Readable{path: filepath.Clean(path), root: root}, nil
}

// Packed is an open file of known size: what is read of it is what it was when it was opened, or an error.
type Packed struct {
	*io.SectionReader
	file *os.File
}

func (p *Packed) Close() error { return p.file.Close() }

// Open refuses a file above the limit unread.
func (r *Readable) Open(path string, sizeLimit int64) (*Packed, error) {
	if r.root == nil {
		return nil, errors.New("the engine was started without a directory to read from")
	}
	inside, ok := strings.CutPrefix(path, r.path+"/")
	if !ok {
		return nil, errors.New(path + " is not below " + r.path + ", the one directory the engine may read")
	}
	file, err := r.root.Open(inside)
	if err != nil {
		return nil, err
	}
	about, err := file.Stat()
	if err == nil && about.Size() > sizeLimit {
		err = limited("%s is larger than %d MiB", filepath.Base(path), sizeLimit>>20)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Packed{io.NewSectionReader(file, 0, about.Size()), file}, nil
}

// Read answers a file's bytes.
func (r *Readable) Read(path string, sizeLimit int64) ([]byte, error) {
	file, err := r.Open(path, sizeLimit)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content := make([]byte, file.Size())
	_, err = io.ReadFull(file, content)
	return content, err
}
