"""What we applied last, and whether it still holds: memory only, no request, no clock.

Each object has one record: its owner, the digest of what was sent, and what the server answered. An
event of the metadata watch is compared with the answer. It is drift when something of ours
differs; status updates, other managers' additions and our own applies are not. While an apply is
on its way its events are parked, and judged against its answer.

Losing all of this costs one pass of applies that change nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from shared.cluster.inventory import ObjectId
from shared.cluster.live import Author, Live
from shared.resources.meta import NamespacedName


class Drift(NamedTuple):
    """An object of ours is no longer as we left it."""

    id: ObjectId
    owner: NamespacedName
    author: Author | None  # None: nobody left a name, as with a deletion

    def __str__(self) -> str:
        return f"{self.id} changed by {self.author}" if self.author else f"{self.id} deleted"


OnDrift: TypeAlias = Callable[[Drift], None]


@dataclass(slots=True)
class Applied:
    owner: NamespacedName
    sent: bytes  # digest of the wanted JSON; empty when nothing was sent on purpose
    live: Live
    drift: Drift | None = None


class AppliedIndex:
    """Construct with the function that is told of drift: at once, and once per object."""

    def __init__(self, on_drift: OnDrift) -> None:
        self._on_drift = on_drift
        self._records: dict[ObjectId, Applied] = {}
        self._parked: dict[ObjectId, list[Live]] = {}  # news of objects that are being applied
        self._gone: set[ObjectId] = set()  # of those, the ones whose last news was their deletion

    def holds(self, id_: ObjectId, owner: NamespacedName, wanted: bytes) -> bool:
        """The object is in the cluster as `owner` wants it, for all we know."""
        record = self._records.get(id_)
        return (
            record is not None
            and record.drift is None
            and record.owner == owner
            and record.sent == wanted
        )

    def record_of(self, id_: ObjectId) -> Applied | None:
        return self._records.get(id_)

    def forget(self, id_: ObjectId, owner: NamespacedName) -> None:
        """It is no longer the owner's, or about to be deleted; another owner's record stays."""
        record = self._records.get(id_)
        if record is not None and record.owner == owner:
            del self._records[id_]

    @contextmanager
    def applying(self, id_: ObjectId) -> Iterator[None]:
        """Events of the object wait until the block has recorded its answer, or failed."""
        self._parked.setdefault(id_, [])
        try:
            yield
        finally:
            parked = self._parked.pop(id_, [])
            if id_ in self._gone:
                self._gone.discard(id_)
                self._judge_deletion(id_, parked[-1])
            elif parked:
                self._judge(id_, parked[-1])

    def record(self, id_: ObjectId, owner: NamespacedName, sent: bytes, live: Live) -> None:
        self._records[id_] = Applied(owner, sent, live)

    def seen(self, id_: ObjectId, live: Live) -> None:
        """News of the metadata watch."""
        parked = self._parked.get(id_)
        if parked is None:
            self._judge(id_, live)
        else:
            parked.append(live)
            self._gone.discard(id_)

    def vanished(self, id_: ObjectId, last: Live) -> None:
        """Deleted, or no longer labelled as anybody's."""
        parked = self._parked.get(id_)
        if parked is None:
            self._judge_deletion(id_, last)
        else:
            parked.append(last)
            self._gone.add(id_)

    def _judge(self, id_: ObjectId, live: Live) -> None:
        record = self._records.get(id_)
        if record is None or live.version <= record.live.version or live.deleting:
            return  # an object on its way out cannot be corrected before it is gone
        if not live.holds_as(record.live):
            self._mark(id_, record, live.author)

    def _judge_deletion(self, id_: ObjectId, last: Live) -> None:
        record = self._records.get(id_)
        # An older object's end is no news of the one that took its place.
        if record is not None and last.uid == record.live.uid:
            self._mark(id_, record, None)

    def _mark(self, id_: ObjectId, record: Applied, author: Author | None) -> None:
        is_news = record.drift is None
        record.drift = Drift(id_, record.owner, author)
        if is_news:
            self._on_drift(record.drift)
