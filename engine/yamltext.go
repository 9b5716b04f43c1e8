package main

import (
	"bytes"
	"encoding/json"
	"strconv"

	goyaml "go.yaml.in/yaml/v2"
)

// yamlText writes an object as kustomize prints it. It is what sigs.k8s.io/yaml's JSONToYAML gives, without
// reading the JSON as if it were YAML, which costs more than all the rest.
func yamlText(object json.RawMessage) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return goyaml.Marshal(withNumbers(value))
}

// withNumbers gives every number the type that YAML gives it: the smallest that holds it.
func withNumbers(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			value[key] = withNumbers(inner)
		}
	case []any:
		for index, inner := range value {
			value[index] = withNumbers(inner)
		}
	case json.Number:
		return numberOf(value.String())
	}
	return value
}

func numberOf(text string) any {
	if number, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number
	}
	if number, err := strconv.ParseUint(text, 10, 64); err == nil {
		return number
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return number
}
