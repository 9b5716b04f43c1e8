"""A repository of 100,000 files, one of a gibibyte, and one of 50,000 references.

Memory stays bounded; what is more than an artifact may be ends in a condition that says which limit
it is and what to do, within spec.timeout. The gibibyte is held against git's own shallow clone in
the same run. `python -m tests.bench.sources_large` runs this alone; the last word may be `files`,
`bytes` or `references`.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.demo.stage import Stage
from penstock.local.git_repository import Repository, git_environment
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from tests.bench.large_repositories import MIB, add_files, add_noise, add_tags, disk_usage
from tests.bench.observing import is_ready, named, until, watching
from tests.bench.report import Figure, Report
from tests.bench.standing import alone
from tests.bench.workloads import NAMESPACE, SOURCE, git_repository
from tests.support.footprint import Footprint, footprint_of
from tests.support.processes import processor_ticks

FILES, IN_ONE_FOLDER = 100_000, 100
NOISE_FILES, NOISE_SIZE = 64, 16 * MIB
TAGS = 50_000
TIMEOUT = 60
MOST_MEMORY = 400.0
KIND = "GitRepository"


@dataclass
class _Ending:
    """How the first run of a repository ended, and what that took."""

    ready: dict[str, Any]
    seconds: float
    memory: Footprint
    busy: float  # seconds of the service's processor time
    stored: Manifest

    @property
    def mebibytes(self) -> float:
        return self.memory.peak / MIB


async def measure_files(stage: Stage, report: Report) -> None:
    async with _repository(stage, "files") as repository:
        await add_files(repository, FILES, IN_ONE_FOLDER)
        clone = await _clone(repository.url)
        ending = await _ended(stage, repository, lambda found: is_ready(found))
        size = ending.stored["status"]["artifact"]["size"] / MIB
        note = f"artifact of {size:.1f} MiB, {ending.busy:.1f} s busy; a clone takes {clone:.1f} s"
        report.add(Figure(f"{FILES} files → artifact", ending.seconds, TIMEOUT, note=note))
        await repository.commit("One more", {"apps/0000/000000.yaml": "changed: true\n"})
        again = await _asked(stage, repository)
        note = f"{again.seconds:.1f} s"
        _tell_memory(report, f"{FILES} files", ending)
        _tell_memory(report, "one of them changed", again, note)


async def measure_bytes(stage: Stage, report: Report) -> None:
    state = stage.git.folder.parent / "environment"
    async with _repository(stage, "bytes") as repository:
        await add_noise(repository, NOISE_FILES, NOISE_SIZE)
        clone = await _clone(repository.url)
        before = disk_usage(state)
        ending = await _ended(stage, repository, _has_failed)
        kept = (disk_usage(state) - before) / MIB
        message = ending.ready["message"]
        size = NOISE_FILES * NOISE_SIZE // MIB
        note = f"{message!r}; {ending.busy:.1f} s busy; a clone takes {clone:.1f} s"
        report.add(Figure(f"{size} MiB → condition", ending.seconds, TIMEOUT, note=note))
        _tell_memory(report, f"{size} MiB", ending)
        report.add(Figure("left of it on the disk", kept, 10.0, "MiB"))
        assert "spec.ignore" in message, message


async def measure_references(stage: Stage, report: Report) -> None:
    async with _repository(stage, "references") as repository:
        add_tags(repository, TAGS)
        semver = {"ref": {"semver": ">=1.0.0"}}
        ending = await _ended(stage, repository, lambda found: is_ready(found), **semver)
        note = f"{ending.busy:.2f} s busy"
        report.add(Figure(f"the highest of {TAGS} tags", ending.seconds, TIMEOUT, note=note))
        _tell_memory(report, f"{TAGS} tags", ending)
        again = await _asked(stage, repository)
        report.add(Figure("with nothing new: busy", again.busy, 0.2))


def _tell_memory(report: Report, of: str, ending: _Ending, note: str = "") -> None:
    what = f"memory of the source service meanwhile, children included: {of}"
    report.add(Figure(what, ending.mebibytes, MOST_MEMORY, "MiB", note))


@asynccontextmanager
async def _repository(stage: Stage, name: str) -> AsyncIterator[Repository]:
    """Gone in the end, with the object that reads it."""
    repository = await stage.git.repository(name, {"README": "begin\n"})
    try:
        yield repository
        await stage.clear(NAMESPACE)
    finally:
        await asyncio.to_thread(shutil.rmtree, repository.folder)


async def _ended(
    stage: Stage, repository: Repository, ended: Callable[[Manifest], bool], **spec: Any
) -> _Ending:
    manifest = git_repository(repository.name, repository.url)
    manifest["spec"] |= {"interval": "1h", "timeout": f"{TIMEOUT}s", **spec}

    async def act() -> None:
        await stage.cluster.apply(manifest, manager="bench")

    return await _measured(stage, repository, act, ended)


async def _asked(stage: Stage, repository: Repository) -> _Ending:
    token = repr(time.time())
    ref = ObjectRef(SOURCE, KIND, NAMESPACE, repository.name)

    async def act() -> None:
        note = {"reconcile.fluxcd.io/requestedAt": token}
        await stage.cluster.merge_patch(ref, {"metadata": {"annotations": note}})

    def handled(found: Manifest) -> bool:
        return is_ready(found) and found["status"].get("lastHandledReconcileAt") == token

    return await _measured(stage, repository, act, handled)


async def _measured(
    stage: Stage, repository: Repository, act: Any, ended: Callable[[Manifest], bool]
) -> _Ending:
    pid = stage.environment.process("source").pid
    assert pid is not None
    async with (
        watching(stage.cluster, Gvk(SOURCE, KIND), NAMESPACE) as seen,
        footprint_of(pid) as memory,
    ):
        ticks, began = processor_ticks(pid), time.perf_counter()
        await act()
        await until(seen, lambda all_: ended(named(all_, repository.name) or {}))
        took = time.perf_counter() - began
        stored = named(seen.values(), repository.name)
    assert stored is not None
    return _Ending(_ready(stored), took, memory, (processor_ticks(pid) - ticks) / 100, stored)


def _has_failed(found: Manifest) -> bool:
    return _ready(found).get("status") == "False"


def _ready(found: Manifest) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = found.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Ready"), {})


async def _clone(url: str) -> float:
    """As Flux does it: shallow, with files."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp))
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *("git", "clone", "--quiet", "--depth=1", "--branch=main", url, "clone"),
        cwd=folder,
        env=git_environment(folder),
    )
    assert await process.wait() == 0
    took = time.perf_counter() - began
    await asyncio.to_thread(shutil.rmtree, folder)
    return took


async def measure(stage: Stage, report: Report) -> None:
    await measure_files(stage, report)
    await measure_bytes(stage, report)
    await measure_references(stage, report)


if __name__ == "__main__":
    parts = {"files": measure_files, "bytes": measure_bytes, "references": measure_references}
    alone(parts.get(sys.argv[-1], measure))
