"""Child processes: restarted when they end, ended when they should, gone when we are."""

import asyncio
import itertools
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from penstock.local.supervised import HOPELESS_FAILURES, NotReady, Probe, Program, State
from penstock.local.supervisor import Supervisor
from tests.support.eventually import eventually

SOON = timedelta(seconds=10)
FOREVER = "exec sleep 1000"


def shell(
    folder: Path, script: str, *, name: str = "one", ready: Probe | None = None, grace: float = 5
) -> Program:
    return Program(
        name=name,
        command=["/bin/sh", "-c", script],
        folder=folder,
        log=folder / f"{name}.log",
        environment={"PATH": os.defpath},
        ready=ready,
        grace=timedelta(seconds=grace),
    )


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def numbers_in(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


async def test_a_killed_process_is_back(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        process = supervisor.start(shell(tmp_path, FOREVER))
        await process.ready(SOON)
        first = process.pid

        await process.kill()
        await process.ready(SOON)

        assert process.pid not in {first, None}
        assert process.restarts == 1


async def test_one_that_is_killed_again_and_again_is_back_as_soon_as_the_first_time(
    tmp_path: Path,
) -> None:
    async with Supervisor() as supervisor:
        process = supervisor.start(shell(tmp_path, FOREVER))
        await process.ready(SOON)

        async with asyncio.timeout(SOON.total_seconds()):
            for _ in range(HOPELESS_FAILURES + 1):
                await process.kill()
                await process.ready(SOON)

        assert process.restarts == HOPELESS_FAILURES + 1


async def test_what_keeps_ending_is_tried_again_more_and_more_slowly(tmp_path: Path) -> None:
    states: list[tuple[float, State]] = []
    clock = asyncio.get_running_loop().time
    supervisor = Supervisor(lambda: states.append((clock(), supervisor.processes[0].state)))
    async with supervisor:
        process = supervisor.start(shell(tmp_path, "exit 3"))
        await eventually(lambda: process.restarts, lambda restarts: restarts >= 3)

    waits = [
        later - earlier
        for (earlier, state), (later, _) in itertools.pairwise(states)
        if state is State.BACKOFF
    ]
    at_least = (0.19, 0.39, 0.79)  # a busy machine may make it more
    assert all(wait > least for wait, least in zip(waits, at_least, strict=False))
    assert len(waits) >= 3
    assert states[-1][1] is State.STOPPED


async def test_a_start_without_hope_ends_with_the_words_of_its_log(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        process = supervisor.start(shell(tmp_path, "echo port 80 is taken; exit 1"))

        with pytest.raises(NotReady, match=r"one keeps ending[\s\S]*port 80 is taken"):
            await process.ready(SOON)


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    program = Program(
        name="lost", command=["/nowhere/lost"], folder=tmp_path, log=tmp_path / "lost.log"
    )
    async with Supervisor() as supervisor:
        process = supervisor.start(program)

        with pytest.raises(NotReady, match=r"/nowhere/lost"):
            await process.ready(SOON)


async def test_it_runs_only_when_its_probe_says_so(tmp_path: Path) -> None:
    serves = False

    async def probe() -> bool:
        return serves

    async with Supervisor() as supervisor:
        process = supervisor.start(shell(tmp_path, FOREVER, ready=probe))
        with pytest.raises(NotReady, match="not ready after"):
            await process.ready(timedelta(seconds=0.2))
        assert process.state is State.STARTING

        serves = True
        await process.ready(SOON)


async def test_it_is_asked_to_stop_before_it_is_made_to(tmp_path: Path) -> None:
    polite = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    stubborn = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    async with Supervisor() as supervisor:
        processes = [
            supervisor.start(shell(tmp_path, polite, name="polite")),
            supervisor.start(shell(tmp_path, stubborn, name="stubborn", grace=0.3)),
        ]
        for process in processes:
            log = process.program.log
            await eventually(lambda log=log: log.exists() and log.read_text())  # type: ignore[misc]
        pids = [process.pid for process in processes]

    assert (tmp_path / "polite.log").read_text() == "up\nbye\n"
    assert [pid for pid in pids if pid and is_alive(pid)] == []


async def test_what_it_started_goes_with_it(tmp_path: Path) -> None:
    family = f"sleep 1000 & echo $! >> {tmp_path}/grandchild; wait"
    async with Supervisor() as supervisor:
        process = supervisor.start(shell(tmp_path, family))
        [first] = await eventually(lambda: numbers_in(tmp_path / "grandchild"))
        await process.kill()
        _, second = await eventually(
            lambda: numbers_in(tmp_path / "grandchild"), lambda pids: len(pids) == 2
        )
        assert not is_alive(first)
        assert is_alive(second)

    await eventually(lambda: not is_alive(second))


async def test_the_last_started_stops_first(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    async with Supervisor() as supervisor:
        for name in ("etcd", "apiserver", "service"):
            script = f"trap 'echo {name} >> {diary}; exit' TERM; while :; do sleep 0.02; done"
            await supervisor.start(shell(tmp_path, script, name=name)).ready(SOON)
        await eventually(lambda: all(has_its_trap(p.pid or 0) for p in supervisor.processes))

    assert diary.read_text().split() == ["service", "apiserver", "etcd"]


def has_its_trap(pid: int) -> bool:
    """Does it catch SIGTERM already?"""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


async def test_stopped_for_good_stays_stopped_until_started(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        process = supervisor.start(shell(tmp_path, FOREVER))
        await process.ready(SOON)
        pid = process.pid or 0

        await supervisor.stop("one")
        assert (process.state, is_alive(pid)) == (State.STOPPED, False)

        again = supervisor.start(process.program)
        await again.ready(SOON)
        assert supervisor.processes == (again,)


async def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    child = int(await parent.stdout.readline()) if parent.stdout else 0
    assert is_alive(child)

    parent.kill()
    await parent.wait()

    await eventually(lambda: not is_alive(child))


PARENT = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from penstock.local.supervised import Program
from penstock.local.supervisor import Supervisor

async def main(folder):
    program = Program(name="c", command=["/bin/sleep", "1000"], folder=folder, log=folder / "c.log")
    async with Supervisor() as supervisor:
        process = supervisor.start(program)
        await process.ready(timedelta(seconds=10))
        print(process.pid, flush=True)
        await asyncio.sleep(1000)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_failure_around_it_stops_it_and_goes_on_as_it_is(tmp_path: Path) -> None:
    async def use() -> None:
        async with Supervisor() as supervisor:
            process = supervisor.start(shell(tmp_path, FOREVER))
            await process.ready(SOON)
            pids.append(process.pid or 0)
            raise LookupError("of the body")

    pids: list[int] = []
    with pytest.raises(LookupError, match="of the body"):
        await use()

    assert not is_alive(pids[0])
