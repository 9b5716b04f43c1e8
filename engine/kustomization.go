package main

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// What a kustomization file may ask for. Everything outside of the artifact is refused here with a clear
// message; the jail would stop it too, but kustomize's words for that help nobody.

// remoteReference is what kustomize would clone, or download.
var remoteReference = regexp.MustCompile(`(?i)://|^(git::|gh:|[^/@]+@[^/]+[:/]|(www\.)?github\.com[:/])`)

// reference is one path that a kustomization file names.
type reference struct {
	field  string
	value  string
	inline bool // the field also takes YAML text in the place of a path
}

func isKustomization(file string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(file))
}

// parseKustomization answers nil for what is no kustomization: kustomize says so better, if it ever asks.
func parseKustomization(content []byte) *types.Kustomization {
	var kustomization types.Kustomization
	if err := kustomization.Unmarshal(content); err != nil {
		return nil
	}
	kustomization.FixKustomization()
	return &kustomization
}

// checkKustomization refuses Helm charts, remote references, and paths that do not exist, by name.
func checkKustomization(tree *Tree, file string, kustomization *types.Kustomization) error {
	if len(kustomization.HelmCharts) > 0 {
		return refuse("%s: helmCharts are not built here; use a HelmRelease", file)
	}
	for _, named := range dataReferences(kustomization) {
		if !isInline(named) && strings.Contains(named.value, "://") {
			return remote(file, named)
		}
	}
	for _, named := range objectReferences(kustomization) {
		if isInline(named) {
			continue
		}
		if remoteReference.MatchString(named.value) {
			return remote(file, named)
		}
		// kustomize would try a path that does not exist as the address of a repository.
		if target := path.Join(path.Dir(file), named.value); tree.kind(target) == "absent" {
			return refuse("%s: %s: %q does not exist in the source", file, named.field, named.value)
		}
	}
	return nil
}

func remote(file string, named reference) error {
	return refuse("%s: %s: %q is remote; only paths inside of the source are built, "+
		"so make it a source of its own or copy it", file, named.field, named.value)
}

func isInline(named reference) bool {
	return named.inline && strings.ContainsAny(named.value, "\n{")
}

// objectReferences name files and directories that hold objects.
func objectReferences(k *types.Kustomization) []reference {
	var all []reference
	all = append(all, references("resources", k.Resources, false)...)
	all = append(all, references("components", k.Components, false)...)
	all = append(all, references("generators", k.Generators, true)...)
	all = append(all, references("transformers", k.Transformers, true)...)
	return append(all, references("validators", k.Validators, true)...)
}

// dataReferences name files that are read as they are.
func dataReferences(k *types.Kustomization) []reference {
	var all []reference
	all = append(all, references("crds", k.Crds, false)...)
	all = append(all, references("configurations", k.Configurations, false)...)
	all = append(all, reference{"openapi.path", k.OpenAPI["path"], false})
	for _, patch := range slices.Concat(k.Patches, k.PatchesJson6902) {
		all = append(all, reference{"patches.path", patch.Path, false})
	}
	for _, patch := range k.PatchesStrategicMerge {
		all = append(all, reference{"patchesStrategicMerge", string(patch), true})
	}
	for _, replacement := range k.Replacements {
		all = append(all, reference{"replacements.path", replacement.Path, false})
	}
	for _, generator := range k.ConfigMapGenerator {
		all = append(all, pairReferences("configMapGenerator", generator.KvPairSources)...)
	}
	for _, generator := range k.SecretGenerator {
		all = append(all, pairReferences("secretGenerator", generator.KvPairSources)...)
	}
	return all
}

func pairReferences(field string, sources types.KvPairSources) []reference {
	return append(references(field+".files", sources.FileSources, false),
		references(field+".envs", sources.EnvSources, false)...)
}

func references(field string, values []string, inline bool) []reference {
	all := make([]reference, len(values))
	for index, value := range values {
		all[index] = reference{field, value, inline}
	}
	return all
}
