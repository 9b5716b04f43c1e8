"""A recorder of events that keeps what was told."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.resources.meta import NamespacedName, Resource


class Told(NamedTuple):
    key: NamespacedName
    severity: str
    reason: str
    message: str
    metadata: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.key.name


class MemoryRecorder(list[Told]):
    def record(
        self,
        resource: Resource[Any, Any],
        severity: str,
        reason: str,
        message: str,
        metadata: Mapping[str, str],
        *,
        in_cluster: bool = True,
    ) -> None:
        self.append(Told(resource.key, severity, reason, message, dict(metadata)))

    def of(self, name: str, reason: str) -> list[str]:
        return [each.message for each in self if (each.name, each.reason) == (name, reason)]
