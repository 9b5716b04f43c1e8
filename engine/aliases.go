package main

import (
	"bytes"

	yamlnode "go.yaml.in/yaml/v3"
)

const (
	expansionFactor = 10      // of a document's own weight; real ones stay below 2
	expansionFloor  = 100_000 // weight that every document may have
	bytesPerWeight  = 64      // a node weighs one, and one more for so many bytes of its text
)

// checkAliases refuses a text whose aliases would make it explode or never end. kustomize writes aliases out without
// a budget, and follows an alias that contains itself until the stack is full.
func checkAliases(content []byte) error {
	if !seemsToUseAliases(content) {
		return nil
	}
	decoder := yamlnode.NewDecoder(bytes.NewReader(content))
	for {
		var document yamlnode.Node
		if err := decoder.Decode(&document); err != nil {
			return nil // the end, or no YAML: then the build says what is wrong with it
		}
		scale := expansion{expanded: map[*yamlnode.Node]int{}}
		if _, err := scale.weigh(&document); err != nil {
			return err
		}
	}
}

// expansion weighs a document with every alias written out.
type expansion struct {
	expanded map[*yamlnode.Node]int // the weight of what has been met; 0 while it is being weighed
	plain    int
}

func (e *expansion) weigh(node *yamlnode.Node) (int, error) {
	if node.Kind == yamlnode.AliasNode {
		node = node.Alias
	}
	if known, met := e.expanded[node]; met {
		if known == 0 {
			return 0, refuse("an alias contains itself: %q", node.Anchor)
		}
		return known, nil
	}
	e.expanded[node] = 0
	total := 1 + len(node.Value)/bytesPerWeight
	e.plain += total
	for _, child := range node.Content {
		weight, err := e.weigh(child)
		if err != nil {
			return 0, err
		}
		total += weight
		if total > max(expansionFloor, expansionFactor*e.plain) {
			return 0, limited("its aliases make it grow beyond reason")
		}
	}
	e.expanded[node] = total
	return total, nil
}

// seemsToUseAliases is a cheap look that may be wrong in one direction only: both an anchor and an alias begin
// where a value can begin.
func seemsToUseAliases(content []byte) bool {
	return beginsValue(content, '&') && beginsValue(content, '*')
}

func beginsValue(content []byte, mark byte) bool {
	for start := 0; ; {
		index := bytes.IndexByte(content[start:], mark)
		if index < 0 {
			return false
		}
		at := start + index
		before := at == 0 || bytes.IndexByte([]byte(" \t\r\n[{,:-"), content[at-1]) >= 0
		if before && at+1 < len(content) && bytes.IndexByte([]byte(" \t\r\n"), content[at+1]) < 0 {
			return true
		}
		start = at + 1
	}
}
