"""What can be asked of Penstock on a Kustomization beyond Flux's API; Flux ignores all of these."""

from collections.abc import Iterable
from typing import Final

from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName

OURS: Final = "penstock.dev/"
PRUNE_ALL: Final = "penstock.dev/prune-all"  # "enabled": whatever has left the source, for ever
PRUNE_LIMIT: Final = "penstock.dev/prune-limit"  # "15" or "20%": more than that is held
PRUNE_CONFIRMED: Final = "penstock.dev/prune-confirmed"  # which prune, or at which revision


def wishes_of(kustomization: Kustomization) -> dict[str, str]:
    annotations = kustomization.metadata.annotations
    return {key: value for key, value in annotations.items() if key.startswith(OURS)}


def whose_wishes_changed(
    before: Kustomization | None, after: Kustomization | None
) -> Iterable[NamespacedName]:
    """Annotations are no new generation; what is asked for with them is looked at all the same."""
    if before is None or after is None or wishes_of(before) == wishes_of(after):
        return ()
    return (after.key,)
