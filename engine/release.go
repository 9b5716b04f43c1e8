package main

import (
	"encoding/json"
	"slices"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// A release as we answer it: Helm's own object, and beside it what it holds, parsed and in Helm's order.

const sourceComment = "# Source: "

type renderAnswer struct {
	Release *release.Release `json:"release"`
	Objects []renderedObject `json:"objects"`
	Hooks   []renderedHook   `json:"hooks"`
	CRDs    []renderedCRD    `json:"crds"`
	Chart   renderedChart    `json:"chart"`
	Notes   string           `json:"notes"`
}

type renderedObject struct {
	Source string          `json:"source"` // the template, as Helm names it
	Object json.RawMessage `json:"object"`
}

type renderedHook struct {
	Name              string                        `json:"name"`
	Kind              string                        `json:"kind"`
	Path              string                        `json:"path"`
	Events            []release.HookEvent           `json:"events"`
	Weight            int                           `json:"weight"`
	DeletePolicies    []release.HookDeletePolicy    `json:"deletePolicies"`
	OutputLogPolicies []release.HookOutputLogPolicy `json:"outputLogPolicies"`
	Object            json.RawMessage               `json:"object"`
}

type renderedCRD struct {
	Name    string            `json:"name"`
	Objects []json.RawMessage `json:"objects"`
}

type renderedChart struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	AppVersion string `json:"appVersion"`
	Digest     string `json:"digest"`
}

func describeRelease(rendered *release.Release, chartDigest string) (*renderAnswer, error) {
	objects, err := manifestObjects(rendered.Manifest)
	if err != nil {
		return nil, err
	}
	hooks, err := hookObjects(rendered.Hooks)
	if err != nil {
		return nil, err
	}
	crds, err := crdObjects(rendered.Chart)
	if err != nil {
		return nil, err
	}
	metadata := rendered.Chart.Metadata
	return &renderAnswer{
		Release: rendered,
		Objects: objects,
		Hooks:   hooks,
		CRDs:    crds,
		Chart:   renderedChart{metadata.Name, metadata.Version, metadata.AppVersion, chartDigest},
		Notes:   rendered.Info.Notes,
	}, nil
}

// manifestObjects parses a release's manifest; the items of a List become objects of their own.
func manifestObjects(manifest string) ([]renderedObject, error) {
	objects := []renderedObject{}
	documents := releaseutil.SplitManifests(manifest)
	keys := make([]string, 0, len(documents))
	for key := range documents {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if releaseutil.BySplitManifestsOrder([]string{a, b}).Less(0, 1) {
			return -1
		}
		return 1
	})
	for _, key := range keys {
		source := sourceOf(documents[key])
		found, err := parseObjects(documents[key])
		if err != nil {
			return nil, within(source, err)
		}
		for _, object := range found {
			objects = append(objects, renderedObject{source, object})
		}
	}
	return objects, nil
}

func sourceOf(document string) string {
	for line := range strings.Lines(document) {
		if source, ok := strings.CutPrefix(strings.TrimSpace(line), sourceComment); ok {
			return source
		}
	}
	return ""
}

func parseObjects(document string) ([]json.RawMessage, error) {
	objects := []json.RawMessage{}
	documents, err := parseDocuments([]byte(document))
	if err != nil {
		return nil, err
	}
	for _, object := range documents {
		var list struct {
			Kind  string            `json:"kind"`
			Items []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(object, &list); err != nil {
			return nil, refuse("not a Kubernetes object: %v", err)
		}
		if strings.HasSuffix(list.Kind, "List") && list.Items != nil {
			objects = append(objects, list.Items...)
		} else {
			objects = append(objects, object)
		}
	}
	return objects, nil
}

func hookObjects(hooks []*release.Hook) ([]renderedHook, error) {
	answer := []renderedHook{}
	for _, hook := range hooks {
		objects, err := parseObjects(hook.Manifest)
		if err != nil {
			return nil, within(hook.Path, err)
		}
		for _, object := range objects {
			answer = append(answer, renderedHook{
				Name: hook.Name, Kind: hook.Kind, Path: hook.Path, Events: hook.Events, Weight: hook.Weight,
				DeletePolicies: hook.DeletePolicies, OutputLogPolicies: hook.OutputLogPolicies, Object: object,
			})
		}
	}
	return answer, nil
}

func crdObjects(installed *chart.Chart) ([]renderedCRD, error) {
	answer := []renderedCRD{}
	for _, crd := range installed.CRDObjects() {
		objects, err := parseObjects(string(crd.File.Data))
		if err != nil {
			return nil, within(crd.Filename, err)
		}
		answer = append(answer, renderedCRD{crd.Filename, objects})
	}
	return answer, nil
}
