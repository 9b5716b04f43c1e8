"""The rendering engine: kustomize and Helm behind a few calls, in jailed processes.

`async with Engine(binary, readable=cache) as engine: built = await engine.build(...)`. Calls share
processes. A call that breaks one fails with EngineLimit; those that merely ran beside it are
asked again, each alone in a process of its own, so that one tenant's input never fails another's.
"""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from shared.engine_messages import (
    Answered,
    BuildRequest,
    Built,
    EngineBroken,
    EngineError,
    EngineLimit,
    EngineUnavailable,
    JsonObject,
    Loaded,
    Question,
    Rendered,
    RenderRequest,
    Snapshot,
    Versions,
)
from shared.engine_worker import LINE_LIMIT, Lost, Worker, running

MEBIBYTE = 1 << 20
PIPELINE = 4  # calls on one process at a time; more would only wait there, and be lost with it
TREE_LIMIT = 100 * MEBIBYTE
REMEMBERED_TREES = 1000
_RESTART = timedelta(seconds=0.1)
_RESTART_AT_MOST = timedelta(seconds=5)

Answer = TypeVar("Answer")
_log = logging.getLogger(__name__)


class Engine:
    """A pool of processes; `readable` is the one directory whose files requests may name.

    `memory_limit` is of each process, in bytes, `deadline` of each call.
    """

    def __init__(
        self,
        binary: Path,
        *,
        readable: Path,
        workers: int = 1,
        memory_limit: int = 512 * MEBIBYTE,
        deadline: timedelta = timedelta(seconds=60),
        warm: bool = True,
    ) -> None:
        self._binary = binary
        self._command = [
            str(binary),
            f"--read={readable.absolute()}",
            f"--memory={memory_limit // MEBIBYTE}",
            f"--warm={str(warm).lower()}",
        ]
        self._deadline = deadline
        self._wanted = workers
        self._workers: list[Worker] = []
        self._slots = asyncio.Semaphore(workers * PIPELINE)
        self._one_alone = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self._archives: OrderedDict[str, tuple[Path, int]] = OrderedDict()
        self._failure: str | None = "it was not started"
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if not os.access(self._binary, os.X_OK):
            raise EngineUnavailable(f"there is no engine at {self._binary}: build it first")
        self._failure = None
        await self._running.enter_async_context(self._staffed())
        try:
            await self._least_busy()
        except BaseException:
            await self._running.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What ended the body is not the pool's: a task group would wrap it.
        await self._running.aclose()

    async def load_tree(self, digest: str, archive: Path, limit: int = TREE_LIMIT) -> Loaded:
        """Makes a verified archive known as a tree; builds name it by its digest. `limit` is in
        bytes, of what it unpacks to."""
        self._archives[digest] = (archive, limit)
        self._archives.move_to_end(digest)
        while len(self._archives) > REMEMBERED_TREES:
            self._archives.popitem(last=False)
        return await self._call("tree.load", self._tree(digest), Loaded)

    async def build(self, request: BuildRequest) -> Built:
        body = msgspec.to_builtins(request) | self._tree(request.tree)
        return await self._call("kustomize.build", body, Built)

    async def trace(self, tree: str, paths: Sequence[str]) -> str:
        """What Built.trace_digest would be, had the build been one of this tree."""
        body = self._tree(tree) | {"paths": paths}
        return str((await self._call("tree.trace", body, dict[str, str]))["digest"])

    async def changes(self, before: str, after: str) -> frozenset[str]:
        """The questions of traces that the two trees answer differently."""
        body = {"from": self._tree(before), "to": self._tree(after)}
        answer = await self._call("tree.changes", body, dict[str, frozenset[str]])
        return answer["changed"]

    async def parse_yaml(self, text: str) -> list[Any]:
        """Every document that is not empty, read as the API server's tools read it."""
        answer = await self._call("yaml.parse", {"text": text}, dict[str, list[Any]])
        return answer["documents"]

    async def yaml_digest(self, objects: Sequence[JsonObject]) -> str:
        """What Built.digest would be of a build that gave these."""
        body = {"objects": objects}
        return (await self._call("yaml.digest", body, dict[str, str]))["digest"]

    async def answer(self, questions: Sequence[Question]) -> list[tuple[Answered, ...]]:
        """What CEL expressions come to: an answer to each expression of each question; of many
        questions only the first are answered when they take long, and never none."""
        request = {"questions": questions}
        answer = await self._call("cel.eval", request, dict[str, list[tuple[Answered, ...]]])
        return answer["answers"]

    async def render(self, request: RenderRequest) -> Rendered:
        return await self._call("helm.render", request, Rendered)

    async def snapshot(
        self, release: msgspec.Raw | dict[str, Any], oci_digest: str = ""
    ) -> Snapshot:
        body = {"release": release, "ociDigest": oci_digest}
        return await self._call("helm.snapshot", body, Snapshot)

    async def config_digest(self, values: dict[str, Any]) -> str:
        """What Snapshot.config_digest is of a release with these values."""
        return (await self.snapshot({"config": values})).config_digest

    async def version(self) -> Versions:
        return await self._call("version", {}, Versions)

    async def self_test(self) -> dict[str, str]:
        """What the engine could do that it must not; every answer ought to be `refused`."""
        return await self._call("selftest", {}, dict[str, str])

    def _tree(self, digest: str) -> dict[str, Any]:
        known = self._archives.get(digest)
        if known is None:
            raise EngineUnavailable(f"tree {digest} is not known here: load it first")
        archive, limit = known
        return {"tree": digest, "archive": str(archive.absolute()), "limit": limit}

    async def _call(self, operation: str, request: object, answer: type[Answer]) -> Answer:
        body = msgspec.json.encode(request)
        if len(body) > LINE_LIMIT // 2:
            raise EngineLimit(f"{operation}: a request of {len(body) // MEBIBYTE} MiB is too large")
        try:
            raw = await self._ask(operation, body)
        except Lost as lost:
            if lost.guilty:
                raise EngineBroken(f"{operation}: {lost}") from lost
            raw = await self._ask_alone(operation, body)
        return msgspec.json.decode(raw, type=answer)

    async def _ask(self, operation: str, body: bytes) -> msgspec.Raw:
        await self._slots.acquire()
        try:
            call = (await self._least_busy()).send(operation, body)
        except BaseException:
            self._slots.release()
            raise
        # Not at the end of waiting: a call that nobody waits for any more still keeps its place.
        call.add_done_callback(lambda _: self._slots.release())
        return await asyncio.shield(call)

    async def _ask_alone(self, operation: str, body: bytes) -> msgspec.Raw:
        await self._least_busy()  # or the pool is closed
        async with self._one_alone, self._process() as worker:
            try:
                return await worker.send(operation, body)
            except Lost as lost:
                # The one that it shared with others ended as well.
                raise EngineBroken(f"{operation}: {lost}", kills=2) from lost

    async def _least_busy(self) -> Worker:
        while not self._workers:
            if self._failure is not None:
                raise EngineUnavailable(f"no engine is running: {self._failure}")
            self._arrived.clear()
            await self._arrived.wait()
        return min(self._workers, key=lambda worker: worker.load)

    @asynccontextmanager
    async def _staffed(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as self._tasks:
            keepers = [self._tasks.create_task(self._keep_one()) for _ in range(self._wanted)]
            try:
                yield
            finally:
                self._note_failure("it was stopped")
                for keeper in keepers:
                    keeper.cancel()

    def _process(self) -> AbstractAsyncContextManager[Worker]:
        return running(self._tasks, self._command, self._deadline)

    async def _keep_one(self) -> None:
        """One worker at all times, replaced when it ends."""
        delay = _RESTART
        while True:
            try:
                async with self._process() as worker:
                    await worker.send("version", b"{}")
                    delay = _RESTART
                    await self._employ(worker)
            except (Lost, OSError, EngineError) as error:
                _log.warning("the engine does not start", extra={"reason": str(error)})
                self._note_failure(str(error))
                await asyncio.sleep(delay.total_seconds())
                delay = min(delay * 2, _RESTART_AT_MOST)

    async def _employ(self, worker: Worker) -> None:
        self._workers.append(worker)
        self._failure = None
        self._arrived.set()
        try:
            await worker.ended.wait()
        finally:
            self._workers.remove(worker)

    def _note_failure(self, reason: str) -> None:
        self._failure = reason
        self._arrived.set()
