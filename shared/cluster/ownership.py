"""Whose object is this, and what may be done to it: labels and annotations under one API group.

Owner labels say which Kustomization or HelmRelease keeps an object; control keys, on the manifest
or on the live object, as label or annotation, restrict what is done to it.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from shared.resources.meta import NamespacedName

KUSTOMIZE_GROUP = "kustomize.toolkit.fluxcd.io"
HELM_GROUP = "helm.toolkit.fluxcd.io"

Ssa: TypeAlias = Literal["override", "merge", "ifnotpresent", "ignore"]
_SSA: dict[str, Ssa] = {"merge": "merge", "ifnotpresent": "ifnotpresent", "ignore": "ignore"}


class Controls(NamedTuple):
    """What the control keys of one object say."""

    ssa: Ssa = "override"
    force: bool = False
    paused: bool = False  # reconcile: disabled
    kept: bool = False  # prune: disabled

    def __or__(self, other: object) -> "Controls":
        """Both say their part; where both choose a way of applying, the left one counts."""
        if not isinstance(other, Controls):
            return NotImplemented
        return Controls(
            other.ssa if self.ssa == "override" else self.ssa,
            self.force or other.force,
            self.paused or other.paused,
            self.kept or other.kept,
        )

    @property
    def is_untouchable(self) -> bool:
        return self.paused or self.ssa == "ignore"

    @property
    def is_prunable(self) -> bool:
        return not (self.kept or self.is_untouchable)


class Ownership(NamedTuple):
    """The keys of one kind of owner."""

    group: str

    @property
    def name_label(self) -> str:
        return f"{self.group}/name"

    @property
    def namespace_label(self) -> str:
        return f"{self.group}/namespace"

    def labels(self, owner: NamespacedName) -> dict[str, str]:
        return {self.name_label: owner.name, self.namespace_label: owner.namespace}

    def labels_in(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Those that say whose an object is."""
        return {name: labels[name] for name in (self.name_label, self.namespace_label)}

    def owner_in(self, labels: Mapping[str, str]) -> NamespacedName | None:
        if self.name_label not in labels or self.namespace_label not in labels:
            return None
        return NamespacedName(labels[self.namespace_label], labels[self.name_label])

    def controls_in(
        self, labels: Mapping[str, str] | None, annotations: Mapping[str, str] | None
    ) -> Controls:
        said = {
            key.removeprefix(f"{self.group}/"): str(value).lower()
            for holder in (labels or {}, annotations or {})
            for key, value in holder.items()
            if key.startswith(f"{self.group}/")
        }
        if not said:
            return Controls()
        return Controls(
            _SSA.get(said.get("ssa", ""), "override"),
            said.get("force") == "enabled",
            said.get("reconcile") == "disabled",
            said.get("prune") == "disabled",
        )
