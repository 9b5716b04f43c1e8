package main

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/postrenderer"
	"sigs.k8s.io/kustomize/kyaml/kio"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// metadataRenderer is a post-renderer that sets labels and annotations on everything a chart renders, hooks included,
// so that they are part of the manifest that Helm stores.
type metadataRenderer struct {
	labels      map[string]string
	annotations map[string]string
}

func (o *renderOptions) postRenderer() postrenderer.PostRenderer {
	if len(o.Labels) == 0 && len(o.Annotations) == 0 {
		return nil
	}
	return &metadataRenderer{o.Labels, o.Annotations}
}

func (r *metadataRenderer) Run(manifests *bytes.Buffer) (*bytes.Buffer, error) {
	objects, err := kio.ParseAll(manifests.String())
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if err := r.set(object); err != nil {
			return nil, err
		}
	}
	text, err := kio.StringAll(objects)
	return bytes.NewBufferString(text), err
}

// set goes into Lists: it is their items that become objects. Each setter starts at the object itself, because a
// setter answers the node that it has set.
func (r *metadataRenderer) set(object *kyaml.RNode) error {
	if items := object.Field("items"); items != nil && strings.HasSuffix(object.GetKind(), "List") {
		return items.Value.VisitElements(r.set)
	}
	for _, setter := range r.setters() {
		if err := object.PipeE(setter); err != nil {
			return err
		}
	}
	return nil
}

// setters come in a fixed order, so that the same input gives the same manifest.
func (r *metadataRenderer) setters() []kyaml.Filter {
	var setters []kyaml.Filter
	for _, key := range slices.Sorted(maps.Keys(r.labels)) {
		setters = append(setters, kyaml.SetLabel(key, r.labels[key]))
	}
	for _, key := range slices.Sorted(maps.Keys(r.annotations)) {
		setters = append(setters, kyaml.SetAnnotation(key, r.annotations[key]))
	}
	return setters
}
