package main

import (
	"bytes"
	"maps"
	"slices"
)

type changesRequest struct {
	From TreeReference `json:"from"`
	To   TreeReference `json:"to"`
}

// changes answers once for all builds what would otherwise be asked for each: which questions of a trace two trees
// answer differently. A build that asked none of them gives the same result of both.
func (e *Engine) changes(request changesRequest) (any, error) {
	before, err := e.trees.Get(request.From)
	if err != nil {
		return nil, err
	}
	after, err := e.trees.Get(request.To)
	if err != nil {
		return nil, err
	}
	return map[string][]string{"changed": changesBetween(before, after)}, nil
}

func changesBetween(before, after *Tree) []string {
	changed := []string{}
	for name := range before.files {
		changed = append(changed, changesAt(name, before, after)...)
	}
	for name := range before.directories {
		changed = append(changed, changesAt(name, before, after)...)
	}
	for _, paths := range [][]string{slices.Collect(maps.Keys(after.files)), slices.Collect(maps.Keys(after.directories))} {
		for _, name := range paths {
			if before.kind(name) == "absent" {
				changed = append(changed, changesAt(name, before, after)...)
			}
		}
	}
	slices.Sort(changed)
	return changed
}

func changesAt(name string, before, after *Tree) []string {
	switch kind := before.kind(name); {
	case kind != after.kind(name):
		return []string{askedContent + ":" + name, askedKind + ":" + name, askedNames + ":" + name}
	case kind == "file" && !sameContent(before.files[name], after.files[name]):
		return []string{askedContent + ":" + name}
	case kind == "directory" && !slices.Equal(before.directories[name], after.directories[name]):
		return []string{askedNames + ":" + name}
	default:
		return nil
	}
}

// sameContent: what two trees share need not be compared.
func sameContent(one, other []byte) bool {
	if len(one) != len(other) {
		return false
	}
	return len(one) == 0 || &one[0] == &other[0] || bytes.Equal(one, other)
}
