package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

type digestRequest struct {
	Objects []json.RawMessage `json:"objects"`
}

// digestYAML is the digest of the objects as kustomize would print them: what a build of them would have answered.
func (e *Engine) digestYAML(request digestRequest) (any, error) {
	digest := sha256.New()
	for index, object := range request.Objects {
		text, err := yamlText(object)
		if err != nil {
			return nil, refuse("object %d: %v", index, err)
		}
		if index > 0 {
			fmt.Fprint(digest, "---\n")
		}
		digest.Write(text)
	}
	return map[string]string{"digest": "sha256:" + hex.EncodeToString(digest.Sum(nil))}, nil
}
