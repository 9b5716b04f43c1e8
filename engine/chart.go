package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v4/pkg/action"
	chartapi "helm.sh/helm/v4/pkg/chart"
	chartarchive "helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

const (
	chartArchiveLimit = 10 * mebibyte  // packed
	chartTotalLimit   = 100 * mebibyte // unpacked
	chartFileLimit    = 5 * mebibyte
	subchartDepth     = 8
)

var (
	chartFence = Fence{totalBytes: chartTotalLimit, fileBytes: chartFileLimit}
	utf8Mark   = []byte("\xef\xbb\xbf")
)

// loadChart reads a packaged chart through our fence and hands Helm the files, so that Helm never sees an archive
// we have not looked at, also not inside of charts/.
func loadChart(archive []byte) (*chart.Chart, error) {
	files, err := chartFiles(archive, subchartDepth)
	if err != nil {
		return nil, within("chart", err)
	}
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return nil, refuse("chart: %v", err)
	}
	return loaded, checkInstallable(loaded)
}

func chartFiles(archive []byte, depth int) ([]*chartarchive.BufferedFile, error) {
	if depth == 0 {
		return nil, limited("charts are packed inside of charts more than %d deep", subchartDepth)
	}
	entries, err := unpack(bytes.NewReader(archive), chartFence)
	if err != nil {
		return nil, err
	}
	var files []*chartarchive.BufferedFile
	for _, entry := range entries {
		_, inside, below := strings.Cut(entry.path, "/")
		if !below {
			return nil, refuse("%q is not in the chart's directory", entry.path)
		}
		if err := checkPacked(inside, entry.content, depth); err != nil {
			return nil, within(inside, err)
		}
		files = append(files, &chartarchive.BufferedFile{
			Name:    inside,
			ModTime: entry.header.ModTime,
			Data:    bytes.TrimPrefix(entry.content, utf8Mark),
		})
	}
	if len(files) == 0 {
		return nil, refuse("no files in the archive")
	}
	return files, nil
}

// checkPacked looks into a chart that is packed inside of another one, at any level of directories.
func checkPacked(file string, content []byte, depth int) error {
	if path.Ext(file) != ".tgz" || path.Base(path.Dir(file)) != "charts" {
		return nil
	}
	_, err := chartFiles(content, depth-1)
	return err
}

func checkInstallable(loaded *chart.Chart) error {
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return refuse("%s charts are not installable", kind)
	}
	required := make([]chartapi.Dependency, len(loaded.Metadata.Dependencies))
	for index, dependency := range loaded.Metadata.Dependencies {
		required[index] = dependency
	}
	if err := action.CheckDependencies(loaded, required); err != nil {
		return refuse("chart %s: dependencies are %v; package the chart with them", loaded.Name(), err)
	}
	return nil
}

// checkSchemas compiles every values schema with a loader that fetches nothing: Helm's own follows references to
// web servers and to files of the machine that renders.
func checkSchemas(loaded *chart.Chart) error {
	if err := checkSchema(loaded.Schema); err != nil {
		return within("chart "+loaded.ChartPath()+": values.schema.json", err)
	}
	for _, subchart := range loaded.Dependencies() {
		if err := checkSchemas(subchart); err != nil {
			return err
		}
	}
	return nil
}

func checkSchema(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return refuse("%v", err)
	}
	compiler, loader := jsonschema.NewCompiler(), &noSchemaLoader{}
	compiler.UseLoader(loader)
	const name = "file:///values.schema.json"
	if err := compiler.AddResource(name, schema); err != nil {
		return refuse("%v", err)
	}
	// What else may be wrong with it is Helm's to say, when it validates.
	_, _ = compiler.Compile(name)
	return loader.refusal
}

// noSchemaLoader is asked only for what neither the schema itself nor the JSON schema standard holds.
type noSchemaLoader struct {
	refusal error
}

func (l *noSchemaLoader) Load(address string) (any, error) {
	if strings.HasPrefix(address, "urn:") {
		return true, nil // Helm takes an unknown name for "anything goes"
	}
	l.refusal = refuse("$ref to %q: a schema may refer to itself only; "+
		"put the definition into it, or disable schema validation", address)
	return nil, l.refusal
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
