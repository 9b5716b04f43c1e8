"""A prune that would take too much is held until somebody says that it is meant.

Too much is everything, when a build has become empty, and more than the limit that the operator or
the Kustomization sets. Whoever deletes a Kustomization, a namespace or a definition deletes what
is in it, so that counts as well. A confirmation is for one loss: it names the objects (by a
fingerprint of their ids, which can be committed to Git beside the change) or the revision.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from services.kustomize.annotations import PRUNE_ALL, PRUNE_CONFIRMED, PRUNE_LIMIT
from services.kustomize.attempt import Attempt
from services.kustomize.losses import Losses
from services.kustomize.plan import Plan
from services.kustomize.stored import stored_inventory
from shared.cluster.inventory import Inventory, ObjectId
from shared.outcomes import Failed, Stalled
from shared.resources.kustomize import Kustomization
from shared.threshold import UNLIMITED, Threshold

SHOWN = 10
SHORTEST_HASH = 7


class PruneHeld(Failed):
    reason = "PruneHeld"


@dataclass(frozen=True)
class Brake:
    losses: Losses
    limit: Threshold = UNLIMITED

    async def require_consent(self, attempt: Attempt, plan: Plan, doomed: Inventory) -> bool:
        """Whether it was needed, and is there; raises PruneHeld when it is not there."""
        why = await self._too_much(attempt, plan, doomed) if doomed else None
        if why is None:
            return False
        if not _is_confirmed(attempt.kustomization, attempt.revision, doomed):
            raise PruneHeld(_told(attempt.kustomization, why, doomed))
        return True

    async def _too_much(self, attempt: Attempt, plan: Plan, doomed: Inventory) -> str | None:
        if not plan.wanted:
            return "the build holds no objects any more, and all that was applied would be deleted"
        limit = limit_of(attempt.kustomization) or self.limit
        if limit == UNLIMITED:
            return None
        everything = stored_inventory(attempt.kustomization) | plan.inventory
        part = len(await self.losses.of(doomed, attempt.cluster))
        whole = max(part, len(await self.losses.of(everything)))
        if not limit.is_exceeded_by(part, whole):
            return None
        return f"{part} of {whole} objects would be deleted, and the limit is {limit}"


def limit_of(kustomization: Kustomization) -> Threshold | None:
    """Raises Stalled for an annotation that nobody can read."""
    text = kustomization.metadata.annotations.get(PRUNE_LIMIT)
    if text is None:
        return None
    try:
        return Threshold.parse(text)
    except ValueError as error:
        raise Stalled(
            f"metadata.annotations: {PRUNE_LIMIT}={text!r}: {error}", reason="InvalidSpec"
        ) from error


def fingerprint(doomed: Iterable[ObjectId]) -> str:
    """The same for the same objects, whatever commit it is that lacks them."""
    return sha256("\n".join(sorted(id_.text for id_ in doomed)).encode()).hexdigest()[:12]


def _is_confirmed(kustomization: Kustomization, revision: str, doomed: Inventory) -> bool:
    annotations = kustomization.metadata.annotations
    if annotations.get(PRUNE_ALL, "").lower() == "enabled":
        return True
    text = annotations.get(PRUNE_CONFIRMED, "").strip()
    hash_ = revision.rpartition(":")[2]
    is_short_hash = len(text) >= SHORTEST_HASH and hash_.startswith(text)
    return text in (revision, fingerprint(doomed)) or is_short_hash


def _told(kustomization: Kustomization, why: str, doomed: Inventory) -> str:
    names = sorted(map(str, doomed))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"nothing is pruned: {why}: {', '.join(names[:SHOWN])}{more}; if that is meant, annotate "
        f"Kustomization {kustomization.key}, in the cluster or in Git, with "
        f"{PRUNE_CONFIRMED}={fingerprint(doomed)}, or for all times with {PRUNE_ALL}=enabled"
    )
