"""HelmRelease: which chart with which values, how it is kept, and what became of it."""

from typing import Any

from shared.resources.helm.actions import Install, ReleaseTest, Rollback, Uninstall, Upgrade
from shared.resources.meta import (
    CrossNamespaceSourceReference,
    DependencyReference,
    KubeConfigReference,
    LocalObjectReference,
    Model,
    ReconciledStatus,
    Resource,
)
from shared.resources.transforms import (
    CommonMetadata,
    HealthCheckExpression,
    IgnoreRule,
    Image,
    Inventory,
    Patch,
)


class TemplateVerification(Model, frozen=True, kw_only=True):
    provider: str = "cosign"
    secret_ref: LocalObjectReference | None = None


class HelmChartTemplateSpec(Model, frozen=True, kw_only=True):
    chart: str
    version: str = "*"
    source_ref: CrossNamespaceSourceReference
    interval: str | None = None
    reconcile_strategy: str = "ChartVersion"
    values_files: tuple[str, ...] = ()
    ignore_missing_values_files: bool = False
    verify: TemplateVerification | None = None


class HelmChartTemplate(Model, frozen=True, kw_only=True):
    """The HelmChart that the release keeps for itself."""

    metadata: CommonMetadata | None = None
    spec: HelmChartTemplateSpec


class DriftDetection(Model, frozen=True, kw_only=True):
    mode: str | None = None
    ignore: tuple[IgnoreRule, ...] = ()


class ValuesReference(Model, frozen=True, kw_only=True):
    """Values from a Secret or ConfigMap: a whole file, or one value for one path."""

    kind: str
    name: str
    values_key: str | None = None
    target_path: str | None = None
    optional: bool = False
    literal: bool = False


class KustomizeRenderer(Model, frozen=True, kw_only=True):
    patches: tuple[Patch, ...] = ()
    images: tuple[Image, ...] = ()


class PostRenderer(Model, frozen=True, kw_only=True):
    kustomize: KustomizeRenderer | None = None


class WaitStrategy(Model, frozen=True, kw_only=True):
    name: str | None = None


class HelmReleaseSpec(Model, frozen=True, kw_only=True):
    chart: HelmChartTemplate | None = None
    chart_ref: CrossNamespaceSourceReference | None = None
    interval: str
    timeout: str | None = None
    release_name: str | None = None
    target_namespace: str | None = None
    storage_namespace: str | None = None
    depends_on: tuple[DependencyReference, ...] = ()
    max_history: int | None = None
    service_account_name: str | None = None
    kube_config: KubeConfigReference | None = None
    persistent_client: bool | None = None
    drift_detection: DriftDetection | None = None
    install: Install | None = None
    upgrade: Upgrade | None = None
    test: ReleaseTest | None = None
    rollback: Rollback | None = None
    uninstall: Uninstall | None = None
    values_from: tuple[ValuesReference, ...] = ()
    values: dict[str, Any] | None = None
    common_metadata: CommonMetadata | None = None
    post_renderers: tuple[PostRenderer, ...] = ()
    post_render_strategy: str | None = None
    wait_strategy: WaitStrategy | None = None
    health_check_exprs: tuple[HealthCheckExpression, ...] = ()
    suspend: bool = False


class HookRun(Model, frozen=True, kw_only=True):
    last_started: str | None = None
    last_completed: str | None = None
    phase: str | None = None


class ReleaseSnapshot(Model, frozen=True, kw_only=True):
    """One version of the release as we left it. `test_hooks` is None until tests have run."""

    api_version: str | None = None
    digest: str
    name: str
    namespace: str
    version: int
    status: str
    action: str | None = None
    chart_name: str
    chart_version: str
    app_version: str | None = None
    config_digest: str
    first_deployed: str
    last_deployed: str
    deleted: str | None = None
    test_hooks: dict[str, HookRun] | None = None
    oci_digest: str | None = None


class HelmReleaseStatus(ReconciledStatus, frozen=True, kw_only=True):
    observed_post_renderers_digest: str | None = None
    observed_common_metadata_digest: str | None = None
    helm_chart: str | None = None
    storage_namespace: str | None = None
    history: tuple[ReleaseSnapshot, ...] = ()
    inventory: Inventory | None = None
    failures: int = 0
    install_failures: int = 0
    upgrade_failures: int = 0
    last_attempted_generation: int | None = None
    last_attempted_release_action: str | None = None
    last_attempted_release_action_duration: str | None = None
    last_attempted_revision: str | None = None
    last_attempted_revision_digest: str | None = None
    last_attempted_config_digest: str | None = None
    last_attempted_values_checksum: str | None = None
    last_release_revision: int | None = None
    last_handled_force_at: str | None = None
    last_handled_reset_at: str | None = None


class HelmRelease(Resource[HelmReleaseSpec, HelmReleaseStatus], frozen=True, kw_only=True):
    api_version = "helm.toolkit.fluxcd.io/v2"
    kind = "HelmRelease"
    plural = "helmreleases"

    status: HelmReleaseStatus = HelmReleaseStatus(observed_generation=-1)
