package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A trace is everything a build asked of its tree: a line per question, a letter and a path. Two trees that
// answer a build's questions alike make it give the same result, whatever else differs between them.

const (
	askedContent = "r" // what is in this file?
	askedKind    = "s" // is there a file or a directory?
	askedNames   = "l" // what does this directory hold?
)

// Trace collects questions; builds may ask from several goroutines.
type Trace struct {
	lock      sync.Mutex
	questions map[string]struct{}
}

func newTrace() *Trace { return &Trace{questions: map[string]struct{}{}} }

func (t *Trace) asked(what, path string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.questions[what+":"+path] = struct{}{}
}

func (t *Trace) Questions() []string {
	t.lock.Lock()
	defer t.lock.Unlock()
	return slices.Sorted(maps.Keys(t.questions))
}

// traceDigest is made of the questions and of one tree's answers to them.
func traceDigest(tree *Tree, questions []string) (string, error) {
	digest := sha256.New()
	for _, question := range questions {
		what, path, _ := strings.Cut(question, ":")
		answer, err := answerOf(tree, what, path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(digest, "%d %s %d ", len(question), question, len(answer))
		io.WriteString(digest, answer)
	}
	return "sha256:" + hex.EncodeToString(digest.Sum(nil)), nil
}

func answerOf(tree *Tree, what, path string) (string, error) {
	switch what {
	case askedContent:
		return tree.hash(path), nil
	case askedKind:
		return tree.kind(path), nil
	case askedNames:
		return tree.listing(path), nil
	default:
		return "", refuse("no question of a trace begins with %q", what)
	}
}

type traceRequest struct {
	TreeReference
	Paths []string `json:"paths"`
}

func (e *Engine) traceTree(request traceRequest) (any, error) {
	tree, err := e.trees.Get(request.TreeReference)
	if err != nil {
		return nil, err
	}
	slices.Sort(request.Paths)
	digest, err := traceDigest(tree, request.Paths)
	if err != nil {
		return nil, err
	}
	return map[string]string{"digest": digest}, nil
}
