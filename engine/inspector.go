package main

import "bytes"

// documentLimit is the number of YAML documents that one build may read: kustomize compares each object with all others,
// and an inventory of more would not fit into its Kustomization.
const documentLimit = 10_000

// inspector looks at every file before kustomize does.
type inspector struct {
	tree      *Tree
	alone     bool // no other build runs, so that this one may bring its own schema
	documents int
}

func (i *inspector) look(file string, content []byte) error {
	i.documents += 1 + bytes.Count(content, []byte("\n---"))
	if i.documents > documentLimit {
		return limited("%s: the build reads more than %d YAML documents", file, documentLimit)
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
