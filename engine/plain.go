package main

import (
	"bytes"
	"errors"
	"path"
	"reflect"
	"regexp"
	"slices"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// A plain kustomization lists files and asks for nothing else but a namespace, so what one object becomes does not depend
// on the others, with exceptions that are sorted out here. kustomize compares each object with all others nevertheless, which takes minutes for ten thousand; so it gets a plain
// kustomization in portions, and whether an object comes twice is asked here.

const (
	portionSize        = 64     // documents that kustomize sees at once
	plainDocumentLimit = 50_000 // of a plain kustomization, with names of ordinary length what an inventory can hold
)

// bookkeeping annotations carry kustomize's knowledge of former names from one object to another.
var bookkeeping = []byte("internal.config.kubernetes.io")

// separator is how kustomize parts a file into documents; what follows a cut must not depend on what it was.
var (
	separator = regexp.MustCompile(`\n---.*\n`)
	bareMarks = regexp.MustCompile(`^\n---\s*(#.*)?\n$`)
)

// listKind: kustomize puts a list's items behind all other objects of its file.
var listKind = regexp.MustCompile(`kind["']?\s*:\s*["']?\w*List\b`)

// portion is a part of a plain kustomization, small enough for kustomize.
type portion struct {
	names     []string          // as the kustomization has them
	ordered   [][]byte          // what is in them; of a long file a piece
	contents  map[string][]byte // the same by path in the tree
	documents int
}

// errEntangled: with a namespace for all, what an object becomes depends on others after all.
var errEntangled = errors.New("objects name the namespaces of others")

// freeOfNamespaces are kinds that name others in their own namespace only, if any, which names do not change with it.
// kustomize corrects the namespace where others name it: in subjects of roles, in webhooks, in custom resources as it
// is told to.
var freeOfNamespaces = map[string][]string{
	"":            {"ConfigMap", "Secret", "Service", "ServiceAccount", "PersistentVolumeClaim", "Pod", "LimitRange", "ResourceQuota"},
	"apps":        {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"},
	"batch":       {"Job", "CronJob"},
	"autoscaling": {"HorizontalPodAutoscaler"},
	"policy":      {"PodDisruptionBudget"},
}

func isEntangled(held *resource.Resource) bool {
	kind := held.GetGvk()
	return !slices.Contains(freeOfNamespaces[kind.Group], kind.Kind)
}

// isPlain: nothing but files, all of them there.
func (b *buildFiles) isPlain(root *rootFile) bool {
	kustomization := root.kustomization
	bare := types.Kustomization{
		TypeMeta:  kustomization.TypeMeta,
		Resources: kustomization.Resources,
		Namespace: kustomization.Namespace,
	}
	if kustomization.Kind != types.KustomizationKind || !reflect.DeepEqual(&bare, kustomization) {
		return false
	}
	return !slices.ContainsFunc(kustomization.Resources, func(name string) bool {
		return b.tree.kind(path.Join(root.directory, name)) != "file"
	})
}

// portionsOf reads a plain kustomization's files; nil if it is not plain, or if kustomize can have it whole.
func (b *buildFiles) portionsOf(root *rootFile) ([]*portion, error) {
	if !b.isPlain(root) {
		return nil, nil
	}
	reader := &buildFiles{tree: b.tree, trace: b.trace, inspect: (&inspector{
		tree: b.tree, alone: true, limit: plainDocumentLimit,
	}).look}
	portions := []*portion{{contents: map[string][]byte{}}}
	for _, name := range root.kustomization.Resources {
		file := path.Join(root.directory, name)
		content, err := reader.ReadFile(path.Join(mountPoint, file))
		if err != nil {
			return nil, err
		}
		if bytes.Contains(content, bookkeeping) {
			return nil, nil
		}
		for _, piece := range pieces(content) {
			portions = deal(portions, name, file, piece)
		}
	}
	if len(portions) == 1 {
		return nil, nil
	}
	return portions, nil
}

// deal puts a piece of a file into the last portion, or begins another when that is full.
func deal(portions []*portion, name, file string, piece []byte) []*portion {
	last, documents := portions[len(portions)-1], countDocuments(piece)
	_, another := last.contents[file]
	if another || (last.documents > 0 && last.documents+documents > portionSize) {
		last = &portion{contents: map[string][]byte{}}
		portions = append(portions, last)
	}
	last.names = append(last.names, name)
	last.ordered = append(last.ordered, piece)
	last.contents[file] = piece
	last.documents += documents
	return portions
}

// pieces cuts a file between documents, where kustomize would, into parts that a portion can hold.
func pieces(content []byte) [][]byte {
	if countDocuments(content) <= portionSize || listKind.Match(content) {
		return [][]byte{content}
	}
	var parts [][]byte
	start, documents := 0, 0
	for _, place := range separator.FindAllIndex(content, -1) {
		documents++
		if documents >= portionSize && bareMarks.Match(content[place[0]:place[1]]) {
			parts = append(parts, content[start:place[0]+1])
			start, documents = place[1], 0
		}
	}
	return append(parts, content[start:])
}

// runPortion builds a portion as the kustomization that lists only this.
func (b *buildFiles) runPortion(root *rootFile, part *portion) (resmap.ResMap, error) {
	content, err := yaml.Marshal(types.Kustomization{
		TypeMeta:  root.kustomization.TypeMeta,
		Resources: part.names,
		Namespace: root.kustomization.Namespace,
	})
	if err != nil {
		return nil, err
	}
	files := &buildFiles{
		tree:      b.tree,
		trace:     b.trace,
		generated: map[string][]byte{root.file: content},
		pieces:    part.contents,
		inspect:   (&inspector{tree: b.tree, alone: true, limit: documentLimit}).look,
	}
	return files.run(root.directory)
}

// identities finds what comes twice, in different portions.
type identities map[resid.ResId]struct{}

func (known identities) add(part *portion, resources resmap.ResMap) error {
	for _, held := range resources.Resources() {
		identity := inNamespace(held.CurId())
		if _, twice := known[identity]; twice {
			return refuse("accumulating resources: merging resources from '%s': may not add resource with an "+
				"already registered id: %s", part.fileWith(identity), held.CurId())
		}
		known[identity] = struct{}{}
	}
	return nil
}

// inNamespace: kustomize takes no namespace and `default` for the same.
func inNamespace(id resid.ResId) resid.ResId {
	id.Namespace = id.EffectiveNamespace()
	return id
}

// fileWith is the name of the file that holds an object.
func (p *portion) fileWith(id resid.ResId) string {
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	for index, content := range p.ordered {
		held, _ := factory.SliceFromBytes(content)
		if slices.ContainsFunc(held, func(each *resource.Resource) bool { return inNamespace(each.CurId()) == id }) {
			return p.names[index]
		}
	}
	return ""
}

// refuseTooMany: kustomize would compare thousands before it came to the file that is too much.
func (b *buildFiles) refuseTooMany(root *rootFile) error {
	documents := 0
	for _, name := range root.kustomization.Resources {
		file := path.Join(root.directory, name)
		if content, isFile := b.tree.files[file]; isFile {
			documents += countDocuments(content)
		}
		if documents > documentLimit {
			return tooMany(file, documentLimit)
		}
	}
	return nil
}

func (b *buildFiles) runPortions(root *rootFile, portions []*portion, made *description) error {
	known := identities{}
	for _, part := range portions {
		resources, err := b.runPortion(root, part)
		if err == nil && root.kustomization.Namespace != "" && slices.ContainsFunc(resources.Resources(), isEntangled) {
			err = errEntangled
		}
		if err == nil {
			err = known.add(part, resources)
		}
		if err == nil {
			err = made.add(resources)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
