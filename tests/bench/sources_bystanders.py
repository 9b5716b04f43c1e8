"""Servers that hang, drip, hang up half-way or send garbage, and sources that have other servers.

How long it takes from a request to the new revision in the status, for fifty sources: with nobody
else there, then in the midst of attackers of every kind. Each attacker ends as not ready, in time,
with the cause. `python -m tests.bench.sources_bystanders` runs this alone.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from penstock.demo.stage import Stage
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.cluster.watch_cache import WatchCache
from tests.bench.observing import is_ready, named, until, watching
from tests.bench.report import Figure, Report, median
from tests.bench.standing import alone
from tests.bench.workloads import NAMESPACE, SOURCE, an_object
from tests.support.footprint import footprint_of
from tests.support.misbehaving import BEHAVIOURS, Misbehaving, misbehaving
from tests.support.processes import processor_ticks
from tests.support.registry import RegistryServer, a_layer, running_registry

GIT, OCI = "GitRepository", "OCIRepository"
GIT_BYSTANDERS, OCI_BYSTANDERS = 40, 10
ATTACKERS = 10  # of each kind and behaviour
TIMEOUT = 10.0
A_LITTLE = 5.0
AT_A_TIME = 4
ROUNDS = 4
MOST = 1.5
MIB = 2**20
CAUSES = {
    "hang": (" within ",),
    "drip": (" within ",),
    "half": (
        "payload",
        "disconnected",
        "closed",
        "EOF",
        "hung up",
        "transfer",
        "reset",
        "unexpected",
    ),
    "garbage": ("400", "Bad", "not ", "protocol", "unexpected", "RPC"),
}


@dataclass
class _Bystander:
    """`change` makes something new upstream, and answers how its revision ends."""

    kind: str
    name: str
    change: Callable[[], Awaitable[str]]


@dataclass
class _Attacker:
    kind: str
    name: str
    behaviour: str
    began: float = 0.0
    ended: float = 0.0
    message: str = ""

    @property
    def says_why(self) -> bool:
        return any(cause in self.message for cause in CAUSES[self.behaviour])


@dataclass
class _Field:
    stage: Stage
    registry: RegistryServer
    seen: dict[str, WatchCache[Manifest]]
    attackers: dict[tuple[str, str], _Attacker] = field(default_factory=dict)

    @property
    def cluster(self) -> Cluster:
        return self.stage.cluster

    @classmethod
    @asynccontextmanager
    async def laid_out(cls, stage: Stage) -> AsyncIterator["_Field"]:
        async with AsyncExitStack() as stack:
            folder = stage.git.folder.parent / "registry"
            registry = await stack.enter_async_context(running_registry(folder))
            seen = {
                kind: await stack.enter_async_context(
                    watching(stage.cluster, Gvk(SOURCE, kind), NAMESPACE)
                )
                for kind in (GIT, OCI)
            }
            field_ = cls(stage, registry, seen)
            for cache in seen.values():
                cache.on_change(field_.noticed)
            yield field_

    async def apply(self, kind: str, name: str, **spec: Any) -> None:
        manifest = an_object(SOURCE, kind, name, spec={"interval": "1h", **spec})
        await self.cluster.apply(manifest, manager="bench")

    def noticed(self, before: Manifest | None, after: Manifest | None) -> None:
        attacker = self.attackers.get((after["kind"], after["metadata"]["name"])) if after else None
        if after is None or attacker is None or attacker.ended:
            return
        conditions = after.get("status", {}).get("conditions", ())
        ready: Manifest = next((each for each in conditions if each["type"] == "Ready"), {})
        if ready.get("status") == "False":
            attacker.ended, attacker.message = time.perf_counter(), ready["message"]


async def measure(stage: Stage, report: Report) -> None:
    pid = stage.environment.process("source").pid
    assert pid is not None
    async with _Field.laid_out(stage) as place, misbehaving() as servers:
        bystanders = [each async for each in _bystanders(place)]
        await _latencies(place, bystanders)  # the first time everything is read from the disk
        quiet = [await _latencies(place, bystanders) for _ in range(ROUNDS)]
        async with footprint_of(pid) as memory:
            ticks, began = processor_ticks(pid), time.perf_counter()
            await _attack(place, servers)
            loud = [await _latencies(place, bystanders) for _ in range(ROUNDS)]
            await _all_have_ended(place)
            share = (processor_ticks(pid) - ticks) / (time.perf_counter() - began)
    _tell(report, [*chain(*quiet)], [*chain(*loud)])
    _tell_attackers(report, list(place.attackers.values()))
    report.add(Figure("memory of the source service meanwhile", memory.peak / MIB, 400, "MiB"))
    report.add(Figure("its share of one core meanwhile", share, None, "%"))
    await stage.clear(NAMESPACE)


async def _bystanders(place: _Field) -> AsyncIterator[_Bystander]:
    for number in range(GIT_BYSTANDERS):
        yield await _git_bystander(place, f"good-{number}")
    for number in range(OCI_BYSTANDERS):
        yield await _oci_bystander(place, f"good-{number}")


async def _git_bystander(place: _Field, name: str) -> _Bystander:
    repository = await place.stage.git.repository(name, {"a.yaml": "a: 0\n"})

    async def change() -> str:
        return await repository.commit("change", {"a.yaml": f"a: {time.time_ns()}\n"})

    await place.apply(GIT, name, url=repository.url, ref={"branch": "main"})
    return _Bystander(GIT, name, change)


async def _oci_bystander(place: _Field, name: str) -> _Bystander:
    async def change() -> str:
        files = {"a.yaml": f"a: {time.time_ns()}\n"}
        layer = await asyncio.to_thread(a_layer, place.registry.folder, files)
        return await place.registry.push(name, "latest", [layer])

    await change()
    url = place.registry.url(name)
    await place.apply(OCI, name, url=url, insecure=True, ref={"tag": "latest"})
    return _Bystander(OCI, name, change)


async def _latencies(place: _Field, bystanders: list[_Bystander]) -> list[float]:
    """A few at a time, so that they are not in each other's way."""
    left: Iterator[_Bystander] = iter(bystanders)
    took: list[float] = []

    async def work() -> None:
        for bystander in left:
            latency = await _latency(place, bystander)
            took.append(latency)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(work())
    return took


async def _latency(place: _Field, bystander: _Bystander) -> float:
    revision = await bystander.change()
    ref = ObjectRef(SOURCE, bystander.kind, NAMESPACE, bystander.name)
    began = time.perf_counter()
    note = {"reconcile.fluxcd.io/requestedAt": repr(began)}
    await place.cluster.merge_patch(ref, {"metadata": {"annotations": note}})

    def arrived(all_: Any) -> bool:
        found = named(all_, bystander.name) or {}
        artifact = found.get("status", {}).get("artifact") or {}
        return str(artifact.get("revision", "")).endswith(revision) and is_ready(found)

    await until(place.seen[bystander.kind], arrived)
    return time.perf_counter() - began


async def _attack(place: _Field, servers: Misbehaving) -> None:
    """Half of them at servers of their own, the others all at one."""
    for number in range(ATTACKERS):
        for behaviour in BEHAVIOURS:
            late = "late-" if number % 2 else ""
            host = number if number % 4 < 2 else 0
            name = f"{late}{behaviour}-{number}"
            for kind, spec in (
                (GIT, {"url": servers.git(late + behaviour, host), "ref": {"branch": "main"}}),
                (OCI, {"url": servers.registry(late + behaviour, host), "insecure": True}),
            ):
                attacker = _Attacker(kind, name, behaviour, time.perf_counter())
                place.attackers[kind, name] = attacker
                await place.apply(kind, name, timeout=f"{TIMEOUT:g}s", **spec)


async def _all_have_ended(place: _Field) -> None:
    for cache in place.seen.values():
        await until(cache, lambda _: all(each.ended for each in place.attackers.values()))


def _tell(report: Report, quiet: list[float], loud: list[float]) -> None:
    for what, of in (("median", median), ("95 of 100", _nearly_all)):
        before, meanwhile = of(quiet), of(loud)
        note = f"{meanwhile:.3f} s, {before:.3f} s without them"
        bar = MOST if of is median else None
        what = f"{GIT_BYSTANDERS + OCI_BYSTANDERS} sources beside attackers, {what}: of quiet"
        report.add(Figure(what, meanwhile / before, bar, "times", note))


def _nearly_all(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def _tell_attackers(report: Report, attackers: list[_Attacker]) -> None:
    last = max(attackers, key=lambda each: each.ended - each.began)
    what = f"{len(attackers)} attackers: the last one has ended after"
    note = f"spec.timeout {TIMEOUT:g} s; {last.kind} {last.name}: {last.message}"
    report.add(Figure(what, last.ended - last.began, TIMEOUT + A_LITTLE, note=note))
    silent = [each for each in attackers if not each.says_why]
    note = "; ".join(f"{each.name}: {each.message}" for each in silent[:3])
    report.add(Figure("attackers whose condition does not say why", len(silent), 0, "", note))


if __name__ == "__main__":
    alone(measure)
