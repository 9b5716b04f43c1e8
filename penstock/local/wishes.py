"""What a person may ask of an environment; light, for the command is loaded with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock.local.parts import SERVICES
from penstock.toolchain import binary


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How an environment may differ from the usual. `ports` are asked for by what they serve."""

    kubeconfig: Path | None = None  # a cluster to use instead of an own control plane
    services: Sequence[str] = SERVICES
    ports: Mapping[str, int] = field(default_factory=dict)
    audit: bool = False

    def programs(self) -> Path:
        """Compiles what is missing; answers the engine's path."""
        if self.kubeconfig is None:
            binary("kube")
            binary("kwok")
        return binary("engine")
