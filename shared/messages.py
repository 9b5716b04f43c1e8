"""What the messages on NATS say; `shared.subjects` says under which names.

JSON with Flux's spelling. A message never carries a credential, and what it claims about an object
is only a reason to look at the API server.
"""

from typing import NamedTuple

import msgspec


class About(NamedTuple):
    """The object that a message is about."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a message says. Readers ignore fields that they do not know: senders may be newer."""


class ArtifactReady(Body, frozen=True, kw_only=True):
    """A source has a new revision. A hint: readers take the artifact from the object's status."""

    revision: str
    digest: str
    url: str
    size: int = 0
    path_index: str = ""  # digest of the path index in the object store


class ReconcileRequest(Body, frozen=True, kw_only=True):
    requested_at: str
    requester: str


class ReadyChange(Body, frozen=True, kw_only=True):
    generation: int
    ready: bool
    revision: str = ""


class InvolvedObject(Body, frozen=True, kw_only=True):
    kind: str
    namespace: str = ""
    name: str
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""

    @property
    def about(self) -> About:
        return About(self.kind, self.namespace, self.name)

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]


class EventPayload(Body, frozen=True, kw_only=True, omit_defaults=False):
    """Flux's event, as its controllers post it and as generic providers send it on."""

    involved_object: InvolvedObject
    severity: str
    timestamp: str = ""
    message: str
    reason: str
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    reporting_controller: str = ""
    reporting_instance: str = ""


class AlertRef(Body, frozen=True, kw_only=True):
    """The Alert that asked for a delivery, as events about it need it."""

    namespace: str
    name: str
    uid: str


class Delivery(Body, frozen=True, kw_only=True):
    """One event for one Alert's provider. Credentials are read when it is sent, never stored."""

    event: EventPayload
    alert: AlertRef
