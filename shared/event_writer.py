"""core/v1 Events, as `kubectl describe` shows them: written in the background, never waited for.

The same happening again within an hour counts up the Event that is there, as client-go does, so a
thousand repetitions are one object; while the API server is away they are even one request. What
waits is bounded; beyond that the oldest happenings are dropped and counted.
"""

import asyncio
import logging
import secrets
import socket
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec

from shared.clock import Now, now, rfc3339
from shared.cluster.errors import AlreadyExists, ApiError, NotFound, TooManyRequests, Unreachable
from shared.cluster.objects import Manifest, ObjectRef
from shared.messages import About, InvolvedObject
from shared.metrics import EVENTS_DROPPED

log = logging.getLogger(__name__)

SAME_FOR = timedelta(hours=1)  # as long as the API server keeps an Event
REMEMBERED = 4096
WAITING = 1000
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0
_NAME_LIMIT = 253


class EventApi(Protocol):
    """The part of `Cluster` that is needed here."""

    async def create(self, manifest: Manifest) -> Manifest: ...

    async def merge_patch(self, ref: ObjectRef, patch: Manifest) -> Manifest: ...


class Sameness(NamedTuple):
    """What two happenings must share to be one Event."""

    about: About
    uid: str
    type: str
    reason: str
    message: str


@dataclass
class Happening:
    involved: InvolvedObject
    annotations: dict[str, str]
    name: str
    first: datetime
    last: datetime
    count: int = 1

    def again(self, later: "Happening") -> None:
        self.count += later.count
        self.last = later.last
        self.annotations = later.annotations


class EventWriter:
    def __init__(self, api: EventApi, controller: str, now: Now = now) -> None:
        self._api = api
        self._controller = controller
        self._host = socket.gethostname()
        self._now = now
        self._waiting: OrderedDict[Sameness, Happening] = OrderedDict()
        self._written: OrderedDict[Sameness, Happening] = OrderedDict()
        self._more = asyncio.Event()

    def put(
        self,
        involved: InvolvedObject,
        event_type: str,
        reason: str,
        message: str,
        annotations: dict[str, str],
    ) -> None:
        moment = self._now()
        name = _event_name(involved.name, moment)
        same = Sameness(involved.about, involved.uid, event_type, reason, message)
        happening = Happening(involved, annotations, name, moment, moment)
        if same in self._waiting:
            self._waiting[same].again(happening)
        else:
            self._waiting[same] = happening
        if len(self._waiting) > WAITING:
            self._waiting.popitem(last=False)
            EVENTS_DROPPED.inc()
        self._more.set()

    async def run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self.flush()
            except (Unreachable, TooManyRequests) as error:
                log.debug("Events wait for the API server", extra={"error": str(error)})
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_PAUSE)
            else:
                pause = FIRST_PAUSE
                self._more.clear()
                await self._more.wait()

    async def flush(self) -> None:
        """Write what waits; raises Unreachable or TooManyRequests, and keeps what is left."""
        while self._waiting:
            same, happening = self._waiting.popitem(last=False)
            try:
                await self._write(same, happening)
            except BaseException as error:
                if not isinstance(error, ApiError) or _may_pass(error):
                    self._put_back(same, happening)
                    raise
                # A namespace that is going away takes no Events: trying again gains nothing.
                log.info("an Event was refused", extra={"error": str(error)})
                EVENTS_DROPPED.inc()

    def _put_back(self, same: Sameness, happening: Happening) -> None:
        repetition = self._waiting.get(same)
        if repetition is not None:
            happening.again(repetition)
        self._waiting[same] = happening
        self._waiting.move_to_end(same, last=False)

    async def _write(self, same: Sameness, happening: Happening) -> None:
        known = self._written.get(same)
        if known is None or happening.last - known.first > SAME_FOR:
            await self._create(same, happening)
            self._remember(same, happening)
            return
        total = replace(known)
        total.again(happening)
        try:
            await self._api.merge_patch(_ref(total), _counted(total))
        except NotFound:  # its time at the API server was over
            await self._create(same, happening)
            total = happening
        self._remember(same, total)

    async def _create(self, same: Sameness, happening: Happening) -> None:
        # The name was chosen when it happened, so a repeated request finds its own work.
        with suppress(AlreadyExists):
            await self._api.create(self._manifest(same, happening))

    def _remember(self, same: Sameness, happening: Happening) -> None:
        self._written[same] = happening
        self._written.move_to_end(same)
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _manifest(self, same: Sameness, happening: Happening) -> Manifest:
        involved = happening.involved
        counted = _counted(happening)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            **counted,
            "metadata": {
                **counted["metadata"],
                "name": happening.name,
                "namespace": involved.namespace or "default",
            },
            "involvedObject": msgspec.to_builtins(involved),
            "type": same.type,
            "reason": same.reason,
            "message": same.message,
            "firstTimestamp": rfc3339(happening.first),
            "source": {"component": self._controller, "host": self._host},
            "reportingComponent": self._controller,
            "reportingInstance": self._host,
        }


def _may_pass(error: ApiError) -> bool:
    return isinstance(error, (Unreachable, TooManyRequests))


def _ref(happening: Happening) -> ObjectRef:
    return ObjectRef("v1", "Event", happening.involved.namespace or "default", happening.name)


def _counted(happening: Happening) -> Manifest:
    return {
        "count": happening.count,
        "lastTimestamp": rfc3339(happening.last),
        "metadata": {"annotations": happening.annotations},
    }


def _event_name(involved: str, moment: datetime) -> str:
    """`<object>.<time in hex>`; a cut must not leave a dot or a dash before the dot."""
    suffix = f".{int(moment.timestamp() * 10**6):x}{secrets.token_hex(4)}"
    return involved[: _NAME_LIMIT - len(suffix)].rstrip(".-") + suffix
