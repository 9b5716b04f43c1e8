"""The group kustomize.toolkit.fluxcd.io: a path of an artifact becomes applied objects."""

import msgspec

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


class ObjectReference(Model, frozen=True, kw_only=True):
    """An object to wait for; without `api_version` it is of apps/v1."""

    kind: str
    name: str
    namespace: str | None = None
    api_version: str | None = None


class SubstituteReference(Model, frozen=True, kw_only=True):
    """A ConfigMap or Secret whose keys are variables."""

    kind: str
    name: str
    optional: bool = False


class PostBuild(Model, frozen=True, kw_only=True):
    substitute_strategy: str | None = None
    substitute: dict[str, str] = msgspec.field(default_factory=dict)
    substitute_from: tuple[SubstituteReference, ...] = ()


class Decryption(Model, frozen=True, kw_only=True):
    provider: str
    secret_ref: LocalObjectReference | None = None
    service_account_name: str | None = None


class KustomizationSpec(Model, frozen=True, kw_only=True):
    source_ref: CrossNamespaceSourceReference
    path: str | None = None
    interval: str
    retry_interval: str | None = None
    timeout: str | None = None
    prune: bool
    deletion_policy: str | None = None
    wait: bool = False
    health_checks: tuple[ObjectReference, ...] = ()
    health_check_exprs: tuple[HealthCheckExpression, ...] = ()
    depends_on: tuple[DependencyReference, ...] = ()
    service_account_name: str | None = None
    kube_config: KubeConfigReference | None = None
    target_namespace: str | None = None
    name_prefix: str | None = None
    name_suffix: str | None = None
    common_metadata: CommonMetadata | None = None
    patches: tuple[Patch, ...] = ()
    images: tuple[Image, ...] = ()
    components: tuple[str, ...] = ()
    ignore_missing_components: bool = False
    build_metadata: tuple[str, ...] = ()
    post_build: PostBuild | None = None
    decryption: Decryption | None = None
    force: bool = False
    ignore: tuple[IgnoreRule, ...] = ()
    suspend: bool = False


class AppliedSnapshot(Model, frozen=True, kw_only=True):
    """How often, and until when, the same built objects ended the same way."""

    digest: str
    first_reconciled: str
    last_reconciled: str
    last_reconciled_duration: str
    last_reconciled_status: str
    total_reconciliations: int
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class KustomizationStatus(ReconciledStatus, frozen=True, kw_only=True):
    last_applied_revision: str | None = None
    last_applied_origin_revision: str | None = None
    last_attempted_revision: str | None = None
    inventory: Inventory | None = None
    history: tuple[AppliedSnapshot, ...] = ()


class Kustomization(Resource[KustomizationSpec, KustomizationStatus], frozen=True, kw_only=True):
    api_version = "kustomize.toolkit.fluxcd.io/v1"
    kind = "Kustomization"
    plural = "kustomizations"

    status: KustomizationStatus = KustomizationStatus(observed_generation=-1)
