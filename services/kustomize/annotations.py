"""What can be asked of Penstock on a Kustomization beyond Flux's API; Flux ignores all of these."""

from typing import Final

from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName

PREFIX: Final = "penstock.dev/"
APPLY: Final = "penstock.dev/apply"  # "atomic" (as without it) or "converge"
PRUNE_ALL: Final = "penstock.dev/prune-all"  # "enabled": whatever has left the source, for ever
PRUNE_LIMIT: Final = "penstock.dev/prune-limit"  # "15" or "20%": more than that is held
PRUNE_CONFIRMED: Final = "penstock.dev/prune-confirmed"  # which prune, or at which revision


def asked_otherwise(
    before: Kustomization | None, after: Kustomization | None
) -> list[NamespacedName]:
    """Annotations do not change a generation; ours are wishes all the same."""
    if before is None or after is None or _asked(before) == _asked(after):
        return []
    return [after.key]


def _asked(kustomization: Kustomization) -> dict[str, str]:
    return {
        key: value
        for key, value in kustomization.metadata.annotations.items()
        if key.startswith(PREFIX)
    }
