package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"path"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
)

const (
	substituteKey    = "kustomize.toolkit.fluxcd.io/substitute"
	substituteNever  = "disabled"
	ownConfiguration = "kustomize.config.k8s.io/" // kustomize's own kinds are no cluster objects
)

type buildRequest struct {
	TreeReference
	Path    string  `json:"path"`
	Overlay Overlay `json:"overlay"`
	Text    bool    `json:"text"`
}

type buildAnswer struct {
	Objects     []builtObject `json:"objects"`
	Digest      string        `json:"digest"`
	Trace       []string      `json:"trace"`
	TraceDigest string        `json:"traceDigest"`
}

// builtObject is given as YAML text, not as an object, when variables are to be substituted in it: quoting
// decides what a substituted value becomes.
type builtObject struct {
	Object json.RawMessage `json:"object,omitempty"`
	Text   string          `json:"text,omitempty"`
}

func (e *Engine) build(request buildRequest) (any, error) {
	tree, err := e.trees.Get(request.TreeReference)
	if err != nil {
		return nil, err
	}
	trace := newTrace()
	made, err := buildTree(tree, trace, request)
	if err != nil {
		return nil, err
	}
	answer := made.finish()
	answer.Trace = trace.Questions()
	answer.TraceDigest, err = traceDigest(tree, answer.Trace)
	return answer, err
}

// directoryOf takes `./a`, `/a` and `a/` for the same place, and keeps `..` inside.
func directoryOf(name string) string {
	return strings.TrimPrefix(path.Join("/", name), "/")
}

func buildTree(tree *Tree, trace *Trace, request buildRequest) (*description, error) {
	made, err := withSharedSchema(func() (*description, error) {
		return buildOnce(tree, trace, request, false)
	})
	if !errors.Is(err, errOwnSchema) {
		return made, err
	}
	return withOwnSchema(func() (*description, error) {
		return buildOnce(tree, trace, request, true)
	})
}

func buildOnce(tree *Tree, trace *Trace, request buildRequest, alone bool) (*description, error) {
	inspector := &inspector{tree: tree, alone: alone, limit: documentLimit}
	files := &buildFiles{tree: tree, trace: trace, inspect: inspector.look}
	root, err := files.prepare(directoryOf(request.Path), request.Overlay)
	if err != nil || root == nil {
		return newDescription(request.Text), err
	}
	portions, err := files.portionsOf(root)
	if err != nil {
		return nil, err
	}
	if portions != nil {
		made := newDescription(request.Text)
		if err = files.runPortions(root, portions, made); !errors.Is(err, errEntangled) {
			return made, err
		}
	}
	return files.runWhole(root, request.Text)
}

func (b *buildFiles) runWhole(root *rootFile, text bool) (*description, error) {
	if err := b.refuseTooMany(root); err != nil {
		return nil, err
	}
	resources, err := b.run(root.directory)
	if err != nil {
		return nil, err
	}
	made := newDescription(text)
	return made, made.add(resources)
}

func (b *buildFiles) run(directory string) (resmap.ResMap, error) {
	kustomizer := krusty.MakeKustomizer(&krusty.Options{
		Reorder:          krusty.ReorderOptionNone,
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	})
	resources, err := kustomizer.Run(b, path.Join(mountPoint, directory))
	if err == nil {
		return resources, nil
	}
	if b.refusal != nil {
		return nil, b.refusal
	}
	if culprit := b.culprit(directory); culprit != nil {
		return nil, culprit
	}
	return nil, refuse("%s", inOurWords(err.Error()))
}

// culprit finds the file of a generated kustomization that is no Kubernetes YAML.
func (b *buildFiles) culprit(directory string) error {
	for file, content := range b.generated {
		kustomization := parseKustomization(content)
		if _, inTree := b.tree.files[file]; inTree || kustomization == nil {
			continue
		}
		factory := provider.NewDefaultDepProvider().GetResourceFactory()
		for _, named := range kustomization.Resources {
			inside := path.Join(directory, named)
			if _, err := factory.SliceFromBytes(b.tree.files[inside]); err != nil {
				return refuse("failed to decode Kubernetes YAML from %s: %v", inside, err)
			}
		}
	}
	return nil
}

// detour is how kustomize tells, at every level, that a directory is no file; and of a file whose object is there
// already, that it is no directory.
var (
	detour = regexp.MustCompile(`accumulation err='accumulating resources from '[^']*': [^']*': `)
	noBase = regexp.MustCompile(`accumulation err='(merging resources from '[^']*': [^']*)': must build at directory: .*`)
)

var ourWords = strings.NewReplacer(
	mountPoint+"/", "",
	mountPoint, ".",
	"must specify --enable-helm", "charts are not built here; use a HelmRelease",
)

func inOurWords(message string) string {
	return noBase.ReplaceAllString(detour.ReplaceAllString(ourWords.Replace(message), ""), "$1")
}

// description is the answer in the making.
type description struct {
	objects []builtObject
	digest  hash.Hash
	text    bool
	any     bool
}

func newDescription(text bool) *description {
	return &description{objects: []builtObject{}, digest: sha256.New(), text: text}
}

func (d *description) add(resources resmap.ResMap) error {
	for _, built := range resources.Resources() {
		object, yamlText, err := render(built)
		if err != nil {
			return err
		}
		if d.any {
			d.digest.Write([]byte("---\n"))
		}
		d.any = true
		d.digest.Write(yamlText)
		if strings.HasPrefix(built.GetApiVersion(), ownConfiguration) {
			continue
		}
		d.objects = append(d.objects, present(built, object, yamlText, d.text))
	}
	return nil
}

func (d *description) finish() *buildAnswer {
	return &buildAnswer{Objects: d.objects, Digest: "sha256:" + hex.EncodeToString(d.digest.Sum(nil))}
}

func render(built *resource.Resource) (json.RawMessage, []byte, error) {
	object, err := built.MarshalJSON()
	if err != nil {
		return nil, nil, refuse("%s: %v", built.OrgId(), err)
	}
	if depth := jsonDepth(object); depth > depthOfObjects {
		return nil, nil, limited("%s is nested %d deep, %d are allowed", built.OrgId(), depth, depthOfObjects)
	}
	text, err := yamlText(object)
	return object, text, err
}

func present(built *resource.Resource, object json.RawMessage, yamlText []byte, text bool) builtObject {
	if text && mentionsVariables(yamlText) && !keepsVariables(built) {
		return builtObject{Text: string(yamlText)}
	}
	return builtObject{Object: object}
}

func mentionsVariables(text []byte) bool {
	return bytes.Contains(text, []byte("${")) || bytes.Contains(text, []byte("$$"))
}

// keepsVariables: a label or an annotation asks for the object as it is.
func keepsVariables(built *resource.Resource) bool {
	return built.GetLabels()[substituteKey] == substituteNever ||
		built.GetAnnotations()[substituteKey] == substituteNever
}
