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

// Read answers a file's bytes; anything above the limit is refused unread.
func (r *Readable) Read(path string, sizeLimit int64) ([]byte, error) {
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
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, sizeLimit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > sizeLimit {
		return nil, limited("%s is larger than %d MiB", filepath.Base(path), sizeLimit>>20)
	}
	return content, nil
}
