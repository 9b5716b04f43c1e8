"""What Git costs: a small change in a large repository, and many repositories with nothing new.

The first is held against the way of Flux in the same run: a fresh shallow clone over HTTP, then tar
and gzip. `python -m tests.bench.sources_git` runs these two alone.
"""

import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from penstock.demo.stage import Stage
from penstock.local.git_repository import Repository
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.cluster.watch_cache import WatchCache
from tests.bench.counting_proxy import CountingProxy, counting
from tests.bench.observing import is_ready, named, until, watching
from tests.bench.report import Figure, Report, median, spread
from tests.bench.standing import alone
from tests.bench.workloads import NAMESPACE, SOURCE, git_repository
from tests.support.processes import processor_ticks

FILES, FILE_SIZE = 5000, 20_000
FOLDERS = 50
ROUNDS = 7
REPOSITORIES = 500
MINUTE = 60.0
GIT_REPOSITORY = Gvk(SOURCE, "GitRepository")


def large_tree() -> dict[str, str]:
    """A hundred megabytes of what looks like manifests: three quarters are gone once packed."""
    dice = random.Random(20260102)
    words = [f"{dice.getrandbits(48):x}" for _ in range(3000)]
    lines = [f"  {dice.choice(words)}: {dice.choice(words)}-{n}\n" for n in range(20_000)]
    return {f"apps/{n % FOLDERS:02}/{n:04}.yaml": _text(dice, lines) for n in range(FILES)}


def _text(dice: random.Random, lines: list[str]) -> str:
    return "".join(dice.choices(lines, k=FILE_SIZE // 20))[:FILE_SIZE]


async def measure_change(stage: Stage, report: Report) -> None:
    repository = await stage.git.repository("large", large_tree())
    async with (
        counting(repository.url) as proxy,
        watching(stage.cluster, GIT_REPOSITORY, NAMESPACE) as seen,
    ):
        manifest = git_repository("large", proxy.url_of(repository.url))
        manifest["spec"]["interval"] = "1h"
        await stage.cluster.apply(manifest, manager="bench")
        await until(seen, lambda all_: _has_revision(all_, "large", repository.head))
        changes = [await _change(stage.cluster, repository, seen, n) for n in range(ROUNDS)]
        proxy.bytes = 0
        await _change(stage.cluster, repository, seen, ROUNDS)
        moved = proxy.bytes
        clones = [await _clone_and_pack(proxy.url_of(repository.url)) for _ in range(3)]
        proxy.bytes = 0
        await _clone_and_pack(proxy.url_of(repository.url))
        _tell(report, changes, clones, moved, proxy)
    await stage.clear(NAMESPACE)


def _tell(
    report: Report, changes: list[float], clones: list[float], moved: int, proxy: CountingProxy
) -> None:
    took, reference = median(changes), median(clones)
    what = f"1 of {FILES} files pushed → new artifact in the status, of a clone and tar.gz"
    note = f"{took:.2f} s ({spread(changes)}), clone and tar.gz {reference:.2f} s"
    report.add(Figure(what, 100 * took / reference, 25.0, "%", note))
    note = f"{moved} bytes, clone {proxy.bytes}"
    report.add(Figure("bytes of the same", 100 * moved / proxy.bytes, 5.0, "%", note))


async def _change(
    cluster: Cluster, repository: Repository, seen: WatchCache[Manifest], round_: int
) -> float:
    """One file of one folder, each time another."""
    path = f"apps/{round_ * 7 % FOLDERS:02}/{round_ * 7 % FOLDERS + FOLDERS * round_:04}.yaml"
    await repository.commit(f"change {round_}", {path: f"changed: {round_}\n" * 1000})
    started = time.perf_counter()
    note = {"reconcile.fluxcd.io/requestedAt": f"{started}"}
    ref = ObjectRef(SOURCE, "GitRepository", NAMESPACE, "large")
    await cluster.merge_patch(ref, {"metadata": {"annotations": note}})
    await until(seen, lambda all_: _has_revision(all_, "large", repository.head))
    return time.perf_counter() - started


async def _clone_and_pack(url: str) -> float:
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp))
    started = time.perf_counter()
    process = await asyncio.create_subprocess_shell(
        f"git clone --quiet --depth 1 --branch main {url} c"
        " && tar --exclude=.git -C c -cf - . | gzip -6 > a.tar.gz && sync a.tar.gz",
        cwd=folder,
    )
    assert await process.wait() == 0
    took = time.perf_counter() - started
    await asyncio.to_thread(shutil.rmtree, folder)
    return took


def _has_revision(seen: Iterable[Manifest], name: str, commit: str) -> bool:
    found = named(seen, name)
    artifact = (found or {}).get("status", {}).get("artifact") or {}
    return str(artifact.get("revision", "")).endswith(commit)


async def measure_idle(stage: Stage, report: Report) -> None:
    """The processor time of the service alone: what Git's servers do is their own."""
    repositories = [
        await stage.git.repository(f"many-{n}", {"a.yaml": f"a: {n}\n"})
        for n in range(REPOSITORIES)
    ]
    async with watching(stage.cluster, GIT_REPOSITORY, NAMESPACE) as seen:
        for repository in repositories:
            manifest = git_repository(repository.name, repository.url)
            await stage.cluster.apply(manifest, manager="bench")
        await until(seen, lambda all_: sum(is_ready(one) for one in all_) >= REPOSITORIES)
    await asyncio.sleep(30)  # statuses, events and announcements die away
    pid = stage.environment.process("source").pid
    assert pid is not None
    asked, ticks = len(stage.git.requests), processor_ticks(pid)
    started = time.perf_counter()
    await asyncio.sleep(MINUTE)
    share = (processor_ticks(pid) - ticks) / (time.perf_counter() - started)
    what = f"{REPOSITORIES} GitRepositories at interval 1m, nothing new: of one core"
    note = f"{len(stage.git.requests) - asked} requests to Git in the minute"
    report.add(Figure(what, share, 10.0, "%", note))
    await stage.clear(NAMESPACE)


async def measure(stage: Stage, report: Report) -> None:
    await measure_change(stage, report)
    await measure_idle(stage, report)


if __name__ == "__main__":
    alone({"change": measure_change, "idle": measure_idle}.get(sys.argv[-1], measure))
