"""What an apply did, object by object, and how it is told."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from shared.cluster.applied import Drift
from shared.cluster.inventory import ObjectId
from shared.cluster.objects import Manifest, ObjectRef
from shared.cluster.order import sort_key

Action: TypeAlias = Literal["created", "configured", "unchanged", "skipped", "deleted"]


class Change(NamedTuple):
    """`answer` is the object after the apply, when one was sent; `drift` what made it needed."""

    ref: ObjectRef
    action: Action
    answer: Manifest | None = None
    drift: Drift | None = None

    @property
    def id(self) -> ObjectId:
        return ObjectId.of(self.ref)

    def __str__(self) -> str:
        return f"{self.ref} {self.action}"


class ChangeSet:
    """Objects that were not looked at, because nothing about them differs, are not in it."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self._changes = {change.id: change for change in changes}

    def extend(self, changes: Iterable[Change]) -> None:
        """Later news of an object replaces earlier ones, but for what was said to have changed."""
        for change in changes:
            before = self._changes.get(change.id)
            if before is not None and change.action == "unchanged":
                change = change._replace(action=before.action)
            self._changes[change.id] = change

    def __iter__(self) -> Iterator[Change]:
        return iter(sorted(self._changes.values(), key=lambda change: sort_key(change.id)))

    def __len__(self) -> int:
        return len(self._changes)

    def get(self, id_: ObjectId) -> Change | None:
        return self._changes.get(id_)

    @property
    def different(self) -> list[Change]:
        """In apply order, what is not as it was before."""
        return [change for change in self if change.action not in ("unchanged", "skipped")]

    @property
    def drift(self) -> list[Drift]:
        """What had drifted, and is put right by this."""
        return [change.drift for change in self if change.drift is not None]

    @property
    def skipped(self) -> frozenset[ObjectId]:
        return frozenset(id_ for id_, each in self._changes.items() if each.action == "skipped")
