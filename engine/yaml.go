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
	yamlstream "k8s.io/apimachinery/pkg/util/yaml"
)

// YAML as the API server's tools read it (the semantics of sigs.k8s.io/yaml), within a budget: aliases let a kilobyte
// stand for gigabytes, and brackets nest deeper than the reader of our answer can follow.

const (
	depthOfObjects = 200
	expandedLimit  = 64 * mebibyte // what a text may grow to once its aliases are written out
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
	if err := checkAliases(document); err != nil {
		return nil, err
	}
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
