"""What becomes of good objects beside a bad one: nothing (atomic), or they are applied."""

from services.kustomize.annotations import APPLY
from shared.outcomes import Stalled
from shared.resources.kustomize import Kustomization

ATOMIC = "atomic"
CONVERGE = "converge"


def is_atomic(kustomization: Kustomization) -> bool:
    """Raises Stalled for a word that says neither."""
    said = kustomization.metadata.annotations.get(APPLY, ATOMIC)
    if said.lower() not in (ATOMIC, CONVERGE):
        raise Stalled(
            f"metadata.annotations[{APPLY}]: {said!r} is neither {ATOMIC} (nothing is applied "
            f"while an object is refused) nor {CONVERGE} (all others are)",
            reason="InvalidSpec",
        )
    return said.lower() == ATOMIC
