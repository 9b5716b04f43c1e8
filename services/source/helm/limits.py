"""How much a Helm repository may send: what Flux allows, unless the settings say otherwise."""

from dataclasses import dataclass, replace

from shared.archive import CHART, MIB, Limits


@dataclass(frozen=True, kw_only=True)
class HelmLimits:
    """In bytes: an index, a packed chart, and each file in a chart."""

    index: int = 50 * MIB
    chart: int = 10 * MIB
    file: int = 5 * MIB

    @property
    def unpacked(self) -> Limits:
        return replace(CHART, file=self.file)
