package main

import "bytes"

// documentLimit is the number of YAML documents that kustomize may read at once: it compares each object with all others.
const documentLimit = 10_000

// inspector looks at every file before kustomize does.
type inspector struct {
	tree      *Tree
	alone     bool // no other build runs, so that this one may bring its own schema
	limit     int
	documents int
}

func (i *inspector) look(file string, content []byte) error {
	i.documents += countDocuments(content)
	if i.documents > i.limit {
		return tooMany(file, i.limit)
	}
	if err := checkAliases(content); err != nil {
		return within(file, err)
	}
	if !isKustomization(file) {
		return nil
	}
	kustomization := parseKustomization(content)
	if kustomization == nil {
		return nil
	}
	if len(kustomization.OpenAPI) > 0 && !i.alone {
		return errOwnSchema
	}
	return checkKustomization(i.tree, file, kustomization)
}

func countDocuments(content []byte) int {
	return 1 + bytes.Count(content, []byte("\n---"))
}

func tooMany(file string, limit int) error {
	return limited("%s: the build reads more than %d YAML documents; %d are the limit of a kustomization that lists "+
		"plain files and changes at most their namespace, %d that of all others", file, limit, plainDocumentLimit, documentLimit)
}
