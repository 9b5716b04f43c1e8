"""What every kind is made of: metadata, conditions, references, and the base of all kinds.

Models are frozen and hold the fields that we read; fields that we do not name pass by, because
during an upgrade the CRD is newer than the process. Durations and timestamps stay the strings that
the API server stores (see shared.durations). Start at `Resource`; decode with `Resource.from_json`.
"""

from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import msgspec


class NamespacedName(NamedTuple):
    """Where an object is; also what the work queue holds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class GroupKind(NamedTuple):
    group: str
    kind: str


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of an API object. Encoded, it leaves out what is absent, as the API's clients do.

    Lists are empty when absent even where the schema wants one: older objects hold null there.
    """


class OwnerReference(Model, frozen=True, kw_only=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(Model, frozen=True, kw_only=True):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class Condition(Model, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int = 0


class Artifact(Model, frozen=True, kw_only=True):
    """One revision of a source, packed: what source publishes and appliers download."""

    digest: str
    path: str
    url: str
    revision: str
    last_update_time: str
    size: int | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class LocalObjectReference(Model, frozen=True, kw_only=True):
    name: str


class SecretKeyReference(Model, frozen=True, kw_only=True):
    name: str
    key: str | None = None


class NamespacedObjectReference(Model, frozen=True, kw_only=True):
    name: str
    namespace: str | None = None


class CrossNamespaceSourceReference(Model, frozen=True, kw_only=True):
    """A source, in the referring object's namespace unless it names another."""

    kind: str
    name: str
    namespace: str | None = None
    api_version: str | None = None


class DependencyReference(Model, frozen=True, kw_only=True):
    name: str
    namespace: str | None = None
    ready_expr: str | None = None


class KubeConfigReference(Model, frozen=True, kw_only=True):
    """Where a remote cluster's address and credentials are: exactly one of the two."""

    config_map_ref: LocalObjectReference | None = None
    secret_ref: SecretKeyReference | None = None


class NoStatus(Model, frozen=True, kw_only=True):
    """For kinds that nobody reconciles: they are only read."""


class Status(Model, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class ReconciledStatus(Status, frozen=True, kw_only=True):
    """What the controller loop writes for every kind that it drives."""

    observed_generation: int = 0
    last_handled_reconcile_at: str | None = None


class UndecodableError(ValueError):
    """A stored object that breaks its schema; `metadata` is set if at least that was readable."""

    def __init__(self, kind: str, problem: str, metadata: ObjectMeta | None) -> None:
        where = f" {NamespacedName(metadata.namespace, metadata.name)}" if metadata else ""
        super().__init__(f"{kind}{where} breaks its schema: {problem}")
        self.metadata = metadata


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

SpecT = TypeVar("SpecT", bound=Model)
StatusT = TypeVar("StatusT", bound=Model)


class Resource(Model, Generic[SpecT, StatusT], frozen=True, kw_only=True):
    """One object of a kind that we serve."""

    api_version: ClassVar[str]
    kind: ClassVar[str]
    plural: ClassVar[str]

    metadata: ObjectMeta
    spec: SpecT
    status: StatusT

    @property
    def key(self) -> NamespacedName:
        return NamespacedName(self.metadata.namespace, self.metadata.name)

    @property
    def is_suspended(self) -> bool:
        """Somebody wants it left as it is for now."""
        return bool(getattr(self.spec, "suspend", False))

    @classmethod
    def group_kind(cls) -> GroupKind:
        return GroupKind(cls.api_version.partition("/")[0], cls.kind)

    @classmethod
    def from_json(cls, document: bytes | str) -> Self:
        """Decode one stored object; raises UndecodableError, for that object alone."""
        try:
            return msgspec.json.decode(document, type=cls)
        except _UNREADABLE:
            return cls.from_object(_parse(cls.kind, document))

    @classmethod
    def from_object(cls, stored: Any) -> Self:
        """The same for JSON that is parsed already."""
        try:
            return msgspec.convert(_without_nulls(stored), type=cls)
        except (msgspec.ValidationError, RecursionError) as error:
            raise UndecodableError(cls.kind, str(error), _readable_metadata(stored)) from error


def _parse(kind: str, document: bytes | str) -> Any:
    try:
        return msgspec.json.decode(document)
    except _UNREADABLE as error:
        raise UndecodableError(kind, str(error), None) from error


# The API server keeps explicit nulls that were stored under an older schema; they mean "absent".
def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _readable_metadata(stored: Any) -> ObjectMeta | None:
    try:
        return msgspec.convert(_without_nulls(stored["metadata"]), type=ObjectMeta)
    except (msgspec.ValidationError, KeyError, TypeError, RecursionError):
        return None
