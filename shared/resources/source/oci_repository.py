"""OCIRepository: a layer of an OCI artifact becomes an artifact."""

from shared.resources.meta import LocalObjectReference, Model, Resource
from shared.resources.source.fetched import API_VERSION, FetchedStatus
from shared.resources.source.verification import OCIVerification


class OCIReference(Model, frozen=True, kw_only=True):
    """What to pull; the first of digest, semver, tag that is given wins."""

    digest: str | None = None
    semver: str | None = None
    semver_filter: str | None = None
    tag: str | None = None


class LayerSelector(Model, frozen=True, kw_only=True):
    media_type: str | None = None
    operation: str | None = None


class OCIRepositorySpec(Model, frozen=True, kw_only=True):
    url: str
    interval: str
    timeout: str = "60s"
    ref: OCIReference | None = None
    layer_selector: LayerSelector | None = None
    provider: str = "generic"
    secret_ref: LocalObjectReference | None = None
    service_account_name: str | None = None
    cert_secret_ref: LocalObjectReference | None = None
    proxy_secret_ref: LocalObjectReference | None = None
    verify: OCIVerification | None = None
    ignore: str | None = None
    insecure: bool = False
    suspend: bool = False


class OCIRepositoryStatus(FetchedStatus, frozen=True, kw_only=True):
    url: str | None = None
    observed_ignore: str | None = None
    observed_layer_selector: LayerSelector | None = None


class OCIRepository(Resource[OCIRepositorySpec, OCIRepositoryStatus], frozen=True, kw_only=True):
    api_version = API_VERSION
    kind = "OCIRepository"
    plural = "ocirepositories"

    status: OCIRepositoryStatus = OCIRepositoryStatus(observed_generation=-1)
