package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"

	goyaml "go.yaml.in/yaml/v2"
	yamlnode "go.yaml.in/yaml/v3"
	yamlstream "k8s.io/apimachinery/pkg/util/yaml"
)

// YAML as the API server's tools read it (the semantics of sigs.k8s.io/yaml), within a budget: aliases let a kilobyte
// stand for gigabytes, and brackets nest deeper than the reader of our answer can follow.

const (
	depthOfObjects  = 200
	expandedLimit   = 64 * mebibyte // what a text may grow to once its aliases are written out
	expansionFactor = 10            // of a document's own weight; real ones stay below 2
	expansionFloor  = 100_000       // weight that every document may have
	bytesPerWeight  = 64            // a node weighs one, and one more for so many bytes of its text
)

type parseRequest struct {
	Text string `json:"text"`
}

func (e *Engine) parseYAML(request parseRequest) (any, error) {
	documents, err := parseDocuments([]byte(request.Text))
	if err != nil {
		return nil, err
	}
	return map[string]any{"documents": documents}, nil
}

// parseDocuments answers each document as JSON; empty ones are left out.
func parseDocuments(text []byte) ([]json.RawMessage, error) {
	documents := []json.RawMessage{}
	reader := yamlstream.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for number := 1; ; number++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, refuse("document %d: %v", number, err)
		}
		object, err := yamlToJSON(document)
		if err != nil {
			return nil, within(fmt.Sprintf("document %d", number), err)
		}
		if !bytes.Equal(object, []byte("null")) {
			documents = append(documents, object)
		}
	}
}

// within says where an error happened and keeps its kind.
func within(place string, err error) error {
	failure := asFailure(err)
	return &Failure{Kind: failure.Kind, Message: place + ": " + failure.Message}
}

func yamlToJSON(document []byte) (json.RawMessage, error) {
	var value any
	if err := goyaml.Unmarshal(document, &value); err != nil {
		return nil, refuse("%v", err)
	}
	writer := jsonWriter{}
	if err := writer.value(value, 0); err != nil {
		return nil, err
	}
	return writer.text.Bytes(), nil
}

// jsonWriter writes what the YAML library decoded, and stops at the budget, not after it.
type jsonWriter struct {
	text bytes.Buffer
}

func (w *jsonWriter) value(value any, depth int) error {
	if depth > depthOfObjects {
		return limited("nested more than %d deep", depthOfObjects)
	}
	if w.text.Len() > expandedLimit {
		return limited("grows to more than %d MiB", expandedLimit/mebibyte)
	}
	switch value := value.(type) {
	case map[any]any:
		return w.mapping(value, depth)
	case []any:
		return w.sequence(value, depth)
	default:
		return w.scalar(value)
	}
}

func (w *jsonWriter) mapping(mapping map[any]any, depth int) error {
	values := make(map[string]any, len(mapping))
	for key, value := range mapping {
		name, err := keyText(key)
		if err != nil {
			return err
		}
		values[name] = value
	}
	separator := byte('{')
	for _, name := range slices.Sorted(maps.Keys(values)) {
		w.text.WriteByte(separator)
		separator = ','
		if err := w.scalar(name); err != nil {
			return err
		}
		w.text.WriteByte(':')
		if err := w.value(values[name], depth+1); err != nil {
			return err
		}
	}
	w.close(separator, '{', '}')
	return nil
}

func (w *jsonWriter) sequence(sequence []any, depth int) error {
	separator := byte('[')
	for _, value := range sequence {
		w.text.WriteByte(separator)
		separator = ','
		if err := w.value(value, depth+1); err != nil {
			return err
		}
	}
	w.close(separator, '[', ']')
	return nil
}

// close ends a mapping or sequence; an empty one has not been opened yet.
func (w *jsonWriter) close(separator, opening, closing byte) {
	if separator == opening {
		w.text.WriteByte(opening)
	}
	w.text.WriteByte(closing)
}

func (w *jsonWriter) scalar(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return refuse("no JSON for %v: %v", value, err)
	}
	w.text.Write(text)
	return nil
}

func keyText(key any) (string, error) {
	switch key := key.(type) {
	case string:
		return key, nil
	case int:
		return strconv.Itoa(key), nil
	case int64:
		return strconv.FormatInt(key, 10), nil
	case bool:
		return strconv.FormatBool(key), nil
	case float64:
		return floatKey(key), nil
	default:
		return "", refuse("%v cannot be the name of a field", key)
	}
}

func floatKey(key float64) string {
	switch {
	case math.IsNaN(key):
		return ".nan"
	case math.IsInf(key, 1):
		return ".inf"
	case math.IsInf(key, -1):
		return "-.inf"
	default:
		return strconv.FormatFloat(key, 'g', -1, 32)
	}
}

// checkAliases refuses a file whose aliases would make it explode or never end. kustomize writes aliases out without
// a budget, and follows an alias that contains itself until the stack is full.
func checkAliases(file string, content []byte) error {
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
			return within(file, err)
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

// jsonDepth is how deep brackets nest.
func jsonDepth(text []byte) int {
	depth, deepest, inString := 0, 0, false
	for index := 0; index < len(text); index++ {
		switch character := text[index]; {
		case inString && character == '\\':
			index++
		case character == '"':
			inString = !inString
		case inString:
		case character == '{' || character == '[':
			depth++
			deepest = max(deepest, depth)
		case character == '}' || character == ']':
			depth--
		}
	}
	return deepest
}
