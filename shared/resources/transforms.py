"""What kustomize and helm share: changes to rendered objects, checks of them, their inventory."""

import msgspec

from shared.resources.meta import Model


class CommonMetadata(Model, frozen=True, kw_only=True):
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class Selector(Model, frozen=True, kw_only=True):
    """Which objects: anchored regular expressions, and label and annotation selectors."""

    group: str | None = None
    version: str | None = None
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None
    label_selector: str | None = None
    annotation_selector: str | None = None


class Patch(Model, frozen=True, kw_only=True):
    """A strategic merge patch or a JSON patch, in YAML."""

    patch: str
    target: Selector | None = None


class Image(Model, frozen=True, kw_only=True):
    name: str
    new_name: str | None = None
    new_tag: str | None = None
    digest: str | None = None


class IgnoreRule(Model, frozen=True, kw_only=True):
    """Fields, as JSON pointers, whose drift is nobody's business; `""` is the whole object."""

    paths: tuple[str, ...] = ()
    target: Selector | None = None


class HealthCheckExpression(Model, frozen=True, kw_only=True):
    """How to read the health of a kind: CEL over the object's top-level fields."""

    api_version: str
    kind: str | None = None
    current: str
    in_progress: str | None = None
    failed: str | None = None


class InventoryEntry(Model, frozen=True, kw_only=True):
    """One object that we own: `<namespace>_<name>_<group>_<kind>`, and its version."""

    id: str
    v: str


class Inventory(Model, frozen=True, kw_only=True):
    entries: tuple[InventoryEntry, ...] = ()
