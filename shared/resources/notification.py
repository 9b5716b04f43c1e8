"""The group notification.toolkit.fluxcd.io: whom to tell what, and who may ask for a run."""

import msgspec

from shared.resources.meta import (
    LocalObjectReference,
    Model,
    NoStatus,
    ReconciledStatus,
    Resource,
)

_STATIC_API_VERSION = "notification.toolkit.fluxcd.io/v1beta3"


class FluxObjectSelector(Model, frozen=True, kw_only=True):
    """Objects of one kind: by name, or `*` for all (that carry the labels)."""

    kind: str
    name: str
    namespace: str | None = None
    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    api_version: str | None = None


class AlertSpec(Model, frozen=True, kw_only=True):
    provider_ref: LocalObjectReference
    event_sources: tuple[FluxObjectSelector, ...] = ()
    event_severity: str = "info"
    event_metadata: dict[str, str] = msgspec.field(default_factory=dict)
    inclusion_list: tuple[str, ...] = ()
    exclusion_list: tuple[str, ...] = ()
    summary: str | None = None
    suspend: bool = False


class Alert(Resource[AlertSpec, NoStatus], frozen=True, kw_only=True):
    """Which happenings go to which Provider."""

    api_version = _STATIC_API_VERSION
    kind = "Alert"
    plural = "alerts"

    status: NoStatus = NoStatus()


class ProviderSpec(Model, frozen=True, kw_only=True):
    type: str
    address: str | None = None
    channel: str | None = None
    username: str | None = None
    secret_ref: LocalObjectReference | None = None
    cert_secret_ref: LocalObjectReference | None = None
    proxy_secret_ref: LocalObjectReference | None = None
    proxy: str | None = None
    service_account_name: str | None = None
    timeout: str | None = None
    interval: str | None = None
    commit_status_expr: str | None = None
    suspend: bool = False


class Provider(Resource[ProviderSpec, NoStatus], frozen=True, kw_only=True):
    """Where and how messages are sent."""

    api_version = _STATIC_API_VERSION
    kind = "Provider"
    plural = "providers"

    status: NoStatus = NoStatus()


class ReceivedResource(FluxObjectSelector, frozen=True, kw_only=True):
    """What an accepted webhook triggers."""

    filter: str | None = None


class OIDCVariable(Model, frozen=True, kw_only=True):
    name: str
    expression: str


class OIDCValidation(Model, frozen=True, kw_only=True):
    expression: str
    message: str


class OIDCProvider(Model, frozen=True, kw_only=True):
    issuer_url: str = msgspec.field(name="issuerURL")
    audience: str | None = None
    variables: tuple[OIDCVariable, ...] = ()
    validations: tuple[OIDCValidation, ...] = ()


class ReceiverSpec(Model, frozen=True, kw_only=True):
    type: str
    secret_ref: LocalObjectReference | None = None
    oidc_providers: tuple[OIDCProvider, ...] = ()
    events: tuple[str, ...] = ()
    resources: tuple[ReceivedResource, ...] = ()
    resource_filter: str | None = None
    interval: str = "10m"
    suspend: bool = False


class ReceiverStatus(ReconciledStatus, frozen=True, kw_only=True):
    webhook_path: str | None = None


class Receiver(Resource[ReceiverSpec, ReceiverStatus], frozen=True, kw_only=True):
    """A webhook that requests runs of the objects that it names."""

    api_version = "notification.toolkit.fluxcd.io/v1"
    kind = "Receiver"
    plural = "receivers"

    status: ReceiverStatus = ReceiverStatus(observed_generation=-1)
