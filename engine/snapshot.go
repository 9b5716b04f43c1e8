package main

import (
	"encoding/json"
	"slices"
	"strings"

	goyaml "go.yaml.in/yaml/v2"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	release "helm.sh/helm/v4/pkg/release/v1"
	"sigs.k8s.io/yaml"
)

// snapshot is what the history of a HelmRelease remembers of a release by its digest. Fields, their order and Go's
// JSON are part of the contract: the digest must be the one that any controller of this API computes.
type snapshot struct {
	Name          string          `json:"name"`
	Version       int             `json:"version"`
	Info          release.Info    `json:"info"`
	ChartMetadata chart.Metadata  `json:"chartMetadata"`
	Config        map[string]any  `json:"config"`
	Manifest      string          `json:"manifest"`
	Hooks         []*release.Hook `json:"hooks"`
	Namespace     string          `json:"namespace"`
	OCIDigest     string          `json:"ociDigest,omitempty"`
}

type snapshotRequest struct {
	Release   release.Release `json:"release"`
	OCIDigest string          `json:"ociDigest"`
}

func (e *Engine) snapshot(request snapshotRequest) (any, error) {
	text, err := json.Marshal(observe(&request.Release, request.OCIDigest))
	if err != nil {
		return nil, err
	}
	values, err := configText(request.Release.Config)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"digest":       digestOf(append(text, '\n')),
		"configDigest": digestOf(values),
	}, nil
}

func observe(observed *release.Release, ociDigest string) *snapshot {
	result := &snapshot{
		Name:      observed.Name,
		Version:   observed.Version,
		Manifest:  observed.Manifest,
		Namespace: observed.Namespace,
		OCIDigest: ociDigest,
	}
	if observed.Info != nil {
		result.Info = *observed.Info
	}
	if observed.Chart != nil && observed.Chart.Metadata != nil {
		result.ChartMetadata = *observed.Chart.Metadata
	}
	if len(observed.Config) > 0 {
		result.Config = observed.Config
	}
	for _, hook := range observed.Hooks {
		if !slices.Contains(hook.Events, release.HookTest) {
			result.Hooks = append(result.Hooks, hook)
		}
	}
	return result
}

// configText is the values as YAML with sorted keys at every level, and nothing at all without values.
func configText(values map[string]any) ([]byte, error) {
	if len(values) == 0 {
		return nil, nil
	}
	ordered := yaml.JSONObjectToYAMLObject(values)
	sortKeys(ordered)
	return goyaml.Marshal(ordered)
}

func sortKeys(value any) {
	switch value := value.(type) {
	case goyaml.MapSlice:
		slices.SortFunc(value, func(a, b goyaml.MapItem) int {
			return strings.Compare(a.Key.(string), b.Key.(string))
		})
		for _, item := range value {
			sortKeys(item.Value)
		}
	case []any:
		for _, item := range value {
			sortKeys(item)
		}
	}
}
