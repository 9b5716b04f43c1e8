package main

import (
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// Overlay is what a Kustomization object adds to the kustomization file that it names.
type Overlay struct {
	Namespace               string        `json:"namespace"`
	NamePrefix              string        `json:"namePrefix"`
	NameSuffix              string        `json:"nameSuffix"`
	Patches                 []types.Patch `json:"patches"`
	Images                  []types.Image `json:"images"`
	Components              []string      `json:"components"`
	IgnoreMissingComponents bool          `json:"ignoreMissingComponents"`
	BuildMetadata           []string      `json:"buildMetadata"`
}

func (o *Overlay) isEmpty() bool {
	return o.Namespace == "" && o.NamePrefix == "" && o.NameSuffix == "" && len(o.Patches) == 0 &&
		len(o.Images) == 0 && len(o.Components) == 0 && len(o.BuildMetadata) == 0
}

// rootFile is the kustomization that a build begins with.
type rootFile struct {
	directory     string
	file          string
	kustomization *types.Kustomization
}

// prepare generates or completes the directory's kustomization file. Nil: there is nothing to build, which
// kustomize would call an error.
func (b *buildFiles) prepare(directory string, overlay Overlay) (*rootFile, error) {
	file, kustomization, err := b.rootKustomization(directory)
	if err != nil {
		return nil, err
	}
	if !overlay.isEmpty() {
		overlay.applyTo(kustomization, b.existing(directory, overlay))
	}
	kustomization.FixKustomization()
	if yieldsNothing(kustomization) {
		return nil, nil
	}
	root := &rootFile{directory, file, kustomization}
	if _, given := b.tree.files[file]; given && overlay.isEmpty() {
		return root, nil
	}
	content, err := yaml.Marshal(kustomization)
	b.generated = map[string][]byte{file: content}
	return root, err
}

// yieldsNothing: no field that could bring an object, so transformers would find none.
func yieldsNothing(k *types.Kustomization) bool {
	return len(k.Resources)+len(k.Components)+len(k.Generators)+len(k.ConfigMapGenerator)+
		len(k.SecretGenerator)+len(k.HelmCharts) == 0
}

// rootKustomization reads the directory's kustomization file, or makes one of all that lies below it.
func (b *buildFiles) rootKustomization(directory string) (string, *types.Kustomization, error) {
	if !b.IsDir(path.Join(mountPoint, directory)) {
		return "", nil, refuse("kustomization path not found: %s", directory)
	}
	found := b.kustomizationsIn(directory)
	switch len(found) {
	case 0:
		resources, err := b.collect(directory, "")
		file := path.Join(directory, konfig.DefaultKustomizationFileName())
		return file, &types.Kustomization{Resources: resources}, err
	case 1:
		kustomization, err := b.readKustomization(found[0])
		return found[0], kustomization, err
	default:
		return "", nil, refuse("more than one kustomization file: %s", strings.Join(found, ", "))
	}
}

func (b *buildFiles) readKustomization(file string) (*types.Kustomization, error) {
	content, err := b.ReadFile(path.Join(mountPoint, file))
	if err != nil {
		return nil, err
	}
	var kustomization types.Kustomization
	if err := kustomization.Unmarshal(content); err != nil {
		return nil, refuse("%s: %v", file, err)
	}
	return &kustomization, nil
}

func (b *buildFiles) kustomizationsIn(directory string) []string {
	var found []string
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if file := path.Join(directory, name); b.kind(path.Join(mountPoint, file)) == "file" {
			found = append(found, file)
		}
	}
	return found
}

// collect lists what a kustomization of everything below the directory would name: YAML files, and
// sub-directories that bring their own kustomization.
func (b *buildFiles) collect(root, below string) ([]string, error) {
	entries, err := b.list(path.Join(mountPoint, root, below))
	if err != nil {
		return nil, err
	}
	var resources []string
	for _, entry := range entries {
		inside := path.Join(below, entry)
		switch {
		case !strings.HasSuffix(entry, "/"):
			if extension := path.Ext(entry); extension == ".yaml" || extension == ".yml" {
				resources = append(resources, inside)
			}
		case len(b.kustomizationsIn(path.Join(root, inside))) > 0:
			resources = append(resources, inside)
		default:
			deeper, err := b.collect(root, inside)
			if err != nil {
				return nil, err
			}
			resources = append(resources, deeper...)
		}
	}
	return resources, nil
}

// existing are the overlay's components; those that are missing only if that is not to be ignored.
func (b *buildFiles) existing(directory string, overlay Overlay) []string {
	if !overlay.IgnoreMissingComponents {
		return overlay.Components
	}
	return slices.DeleteFunc(slices.Clone(overlay.Components), func(component string) bool {
		return !remoteReference.MatchString(component) &&
			!b.IsDir(path.Join(mountPoint, directory, component))
	})
}

func (o *Overlay) applyTo(kustomization *types.Kustomization, components []string) {
	for from, to := range map[*string]*string{
		&o.Namespace:  &kustomization.Namespace,
		&o.NamePrefix: &kustomization.NamePrefix,
		&o.NameSuffix: &kustomization.NameSuffix,
	} {
		if *from != "" {
			*to = *from
		}
	}
	kustomization.Patches = append(kustomization.Patches, o.Patches...)
	kustomization.Components = append(kustomization.Components, components...)
	for _, image := range o.Images {
		kustomization.Images = mergeImage(kustomization.Images, image)
	}
	if len(o.BuildMetadata) > 0 {
		kustomization.BuildMetadata = o.BuildMetadata
	}
}

// mergeImage: a new name overrides; tag and digest go together, because each excludes the other.
func mergeImage(images []types.Image, image types.Image) []types.Image {
	index := slices.IndexFunc(images, func(known types.Image) bool { return known.Name == image.Name })
	if index < 0 {
		return append(images, image)
	}
	if image.NewName != "" {
		images[index].NewName = image.NewName
	}
	if image.NewTag != "" || image.Digest != "" {
		images[index].NewTag, images[index].Digest = image.NewTag, image.Digest
	}
	return images
}
