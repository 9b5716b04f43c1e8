package main

import (
	"errors"
	"io"
	"log/slog"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	kubefake "helm.sh/helm/v4/pkg/kube/fake"
	releaseapi "helm.sh/helm/v4/pkg/release"
	status "helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
)

// Helm renders with its own install and upgrade actions, up to the point where they would touch a cluster: what comes
// out is the release object that Helm would store, in the state in which it stores it first.

type renderRequest struct {
	Chart        string         `json:"chart"`
	Values       map[string]any `json:"values"`
	Release      releaseRequest `json:"release"`
	Capabilities capabilities   `json:"capabilities"`
	Options      renderOptions  `json:"options"`
}

type releaseRequest struct {
	Name      string           `json:"name"`
	Namespace string           `json:"namespace"`
	Revision  int              `json:"revision"`
	IsUpgrade bool             `json:"isUpgrade"`
	Previous  *release.Release `json:"previous"` // as stored; its chart is needed to reuse values only
}

type capabilities struct {
	KubeVersion string   `json:"kubeVersion"`
	APIVersions []string `json:"apiVersions"`
}

type renderOptions struct {
	DisableHooks             bool              `json:"disableHooks"`
	IncludeCRDs              bool              `json:"includeCRDs"`
	DisableSchemaValidation  bool              `json:"disableSchemaValidation"`
	DisableOpenAPIValidation bool              `json:"disableOpenAPIValidation"`
	ReuseValues              bool              `json:"reuseValues"`
	ClientSideApply          bool              `json:"clientSideApply"`
	Labels                   map[string]string `json:"labels"`      // set on every rendered object
	Annotations              map[string]string `json:"annotations"` // likewise
}

func (e *Engine) render(request renderRequest) (any, error) {
	archive, err := e.files.Read(request.Chart, chartArchiveLimit)
	if err != nil {
		return nil, err
	}
	loaded, err := loadChart(archive)
	if err != nil {
		return nil, err
	}
	if !request.Options.DisableSchemaValidation {
		if err := checkSchemas(loaded); err != nil {
			return nil, err
		}
	}
	configuration, err := configure(request)
	if err != nil {
		return nil, err
	}
	rendered, err := request.run(configuration, loaded)
	if err != nil {
		return nil, refuse("%v", err)
	}
	return describeRelease(rendered, digestOf(archive))
}

func (r *renderRequest) run(configuration *action.Configuration, loaded *chart.Chart) (*release.Release, error) {
	if r.Values == nil {
		r.Values = map[string]any{}
	}
	if r.Release.IsUpgrade {
		return r.upgrade(configuration, loaded)
	}
	return r.install(configuration, loaded)
}

func (r *renderRequest) install(configuration *action.Configuration, loaded *chart.Chart) (*release.Release, error) {
	install := action.NewInstall(configuration)
	install.ReleaseName = r.Release.Name
	install.Namespace = r.Release.Namespace
	// "server", because "client" would replace the cluster's capabilities by those that Helm was built with.
	install.DryRunStrategy = action.DryRunServer
	install.ServerSideApply = !r.Options.ClientSideApply
	install.DisableHooks = r.Options.DisableHooks
	install.IncludeCRDs = r.Options.IncludeCRDs
	install.SkipSchemaValidation = r.Options.DisableSchemaValidation
	install.DisableOpenAPIValidation = r.Options.DisableOpenAPIValidation
	install.PostRenderer = r.Options.postRenderer()
	rendered, err := asRelease(install.Run(loaded, r.Values))
	if err != nil {
		return nil, err
	}
	rendered.Version = max(1, r.Release.Revision)
	rendered.SetStatus(status.StatusPendingInstall, "Initial install underway")
	return rendered, nil
}

func (r *renderRequest) upgrade(configuration *action.Configuration, loaded *chart.Chart) (*release.Release, error) {
	if err := configuration.Releases.Create(r.Release.stored()); err != nil {
		return nil, err
	}
	upgrade := action.NewUpgrade(configuration)
	upgrade.Namespace = r.Release.Namespace
	upgrade.DryRunStrategy = action.DryRunServer
	upgrade.ServerSideApply = "true"
	if r.Options.ClientSideApply {
		upgrade.ServerSideApply = "false"
	}
	upgrade.ReuseValues = r.Options.ReuseValues
	upgrade.ResetValues = !r.Options.ReuseValues
	upgrade.DisableHooks = r.Options.DisableHooks
	upgrade.SkipSchemaValidation = r.Options.DisableSchemaValidation
	upgrade.DisableOpenAPIValidation = r.Options.DisableOpenAPIValidation
	upgrade.PostRenderer = r.Options.postRenderer()
	rendered, err := asRelease(upgrade.Run(r.Release.Name, loaded, r.Values))
	if err != nil {
		return nil, err
	}
	rendered.SetStatus(status.StatusPendingUpgrade, "Preparing upgrade")
	return rendered, nil
}

// stored is the release that an upgrade finds: the previous one, as the deployed revision before the wanted one.
func (r *releaseRequest) stored() *release.Release {
	previous := r.Previous
	if previous == nil {
		previous = &release.Release{}
	}
	if previous.Info == nil {
		previous.Info = &release.Info{}
	}
	previous.Name, previous.Namespace = r.Name, r.Namespace
	previous.Version = max(1, r.Revision-1)
	previous.Info.Status = status.StatusDeployed
	return previous
}

func asRelease(rendered releaseapi.Releaser, err error) (*release.Release, error) {
	if err != nil {
		return nil, err
	}
	known, ok := rendered.(*release.Release)
	if !ok {
		return nil, errors.New("Helm answered a release of a form we do not know")
	}
	return known, nil
}

// configure makes a Helm that knows the cluster by what the request says of it, and reaches none.
func configure(request renderRequest) (*action.Configuration, error) {
	known, err := request.Capabilities.forHelm()
	if err != nil {
		return nil, err
	}
	memory := driver.NewMemory()
	memory.SetNamespace(request.Release.Namespace)
	configuration := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	configuration.Capabilities = known
	configuration.KubeClient = &kubefake.PrintingKubeClient{Out: io.Discard}
	configuration.Releases = storage.Init(memory)
	return configuration, nil
}

// forHelm: what the request leaves open is as `helm template` has it.
func (c *capabilities) forHelm() (*common.Capabilities, error) {
	known := common.DefaultCapabilities.Copy()
	known.HelmVersion.Version = moduleVersion("helm.sh/helm/v4")
	if len(c.APIVersions) > 0 {
		known.APIVersions = c.APIVersions
	}
	if c.KubeVersion != "" {
		version, err := common.ParseKubeVersion(c.KubeVersion)
		if err != nil {
			return nil, refuse("capabilities.kubeVersion %q: %v", c.KubeVersion, err)
		}
		known.KubeVersion = *version
	}
	return known, nil
}
