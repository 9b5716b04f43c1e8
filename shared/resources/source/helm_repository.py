"""HelmRepository: an index of charts becomes an artifact; of type oci it is only an address."""

import msgspec

from shared.resources.meta import LocalObjectReference, Model, Resource
from shared.resources.source.fetched import API_VERSION, FetchedStatus


class NamespaceSelector(Model, frozen=True, kw_only=True):
    match_labels: dict[str, str] = msgspec.field(default_factory=dict)


class AccessFrom(Model, frozen=True, kw_only=True):
    """Stored for compatibility; no controller reads it."""

    namespace_selectors: tuple[NamespaceSelector, ...] = ()


class HelmRepositorySpec(Model, frozen=True, kw_only=True):
    url: str
    type: str | None = None
    interval: str | None = None
    timeout: str | None = None
    provider: str = "generic"
    secret_ref: LocalObjectReference | None = None
    cert_secret_ref: LocalObjectReference | None = None
    pass_credentials: bool = False
    access_from: AccessFrom | None = None
    insecure: bool = False
    suspend: bool = False


class HelmRepositoryStatus(FetchedStatus, frozen=True, kw_only=True):
    url: str | None = None


class HelmRepository(Resource[HelmRepositorySpec, HelmRepositoryStatus], frozen=True, kw_only=True):
    api_version = API_VERSION
    kind = "HelmRepository"
    plural = "helmrepositories"

    status: HelmRepositoryStatus = HelmRepositoryStatus(observed_generation=-1)
