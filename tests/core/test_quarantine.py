"""What breaks the engine is found after three kills at most, and not asked again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.engine_messages import EngineBroken, EngineRefused
from shared.quarantine import AGAIN_AFTER, DEATHS, KILLS, REMEMBERED, Quarantine, SetAside

POISON, OTHER = b"poison", b"other"


class Patient:
    """Work that breaks the engine, each time with so many kills."""

    def __init__(self, *kills: int) -> None:
        self.asked = 0
        self._kills = kills

    async def __call__(self) -> str:
        self.asked += 1
        if self.asked > len(self._kills):
            return "done"
        raise EngineBroken("kustomize.build: out of memory", kills=self._kills[self.asked - 1])


async def _try(quarantine: Quarantine, work: Callable[[], Awaitable[str]], times: int = 1) -> None:
    for _ in range(times):
        with contextlib.suppress(EngineBroken, SetAside):
            await quarantine.guarded(POISON, work)


@pytest.mark.parametrize(
    ("kills", "asked"),
    [((1, 1, 1, 1), 2), ((2, 2), 1), ((1, 2, 2), 2)],
    ids=["each alone", "beside others at first", "beside others at last"],
)
async def test_an_input_that_kills_is_set_aside(kills: tuple[int, ...], asked: int) -> None:
    quarantine, patient = Quarantine(), Patient(*kills)

    await _try(quarantine, patient, times=10)

    assert patient.asked == asked
    assert sum(kills[:asked]) <= 3
    with pytest.raises(
        SetAside, match=r"set aside, because it broke the rendering engine \d times"
    ):
        await quarantine.guarded(POISON, patient)


async def test_the_others_go_on() -> None:
    quarantine = Quarantine()

    await _try(quarantine, Patient(2, 2))

    assert await quarantine.guarded(OTHER, Patient()) == "done"


async def test_a_success_in_between_forgives() -> None:
    quarantine = Quarantine()
    await _try(quarantine, Patient(1))

    await quarantine.guarded(POISON, Patient())
    await _try(quarantine, Patient(1))

    assert await quarantine.guarded(POISON, Patient()) == "done"


async def test_a_refusal_is_no_kill() -> None:
    async def refuse() -> str:
        raise EngineRefused("a.yaml is broken")

    quarantine = Quarantine()
    for _ in range(KILLS + 2):
        with pytest.raises(EngineRefused):
            await quarantine.guarded(POISON, refuse)


async def test_a_kill_counts_when_nobody_waits_any_more() -> None:
    """A build that hangs outlives the timeout of who asked for it."""
    quarantine, ends = Quarantine(), asyncio.Event()

    async def hang() -> str:
        await ends.wait()
        raise EngineBroken("not done after 60 s", kills=2)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await quarantine.guarded(POISON, hang)
    second = asyncio.create_task(quarantine.guarded(POISON, Patient()))
    await asyncio.sleep(0)
    ends.set()

    with pytest.raises(EngineBroken):
        await second
    with pytest.raises(SetAside):
        await quarantine.guarded(POISON, Patient())


async def test_it_is_known_after_a_restart(tmp_path: Path) -> None:
    await _try(Quarantine(tmp_path), Patient(2))

    with pytest.raises(SetAside, match="out of memory"):
        await Quarantine(tmp_path).guarded(POISON, Patient())


async def test_a_kill_before_a_restart_counts_after_it(tmp_path: Path) -> None:
    await _try(Quarantine(tmp_path), Patient(1))
    patient = Patient(1, 1)

    await _try(Quarantine(tmp_path), patient, times=3)

    assert patient.asked == 1


async def _die_over_it(folder: Path) -> None:
    """As if the process had been killed while it waited for the engine."""
    quarantine = Quarantine(folder)
    task = asyncio.create_task(quarantine.guarded(POISON, asyncio.Event().wait))
    await asyncio.sleep(0.01)
    left = _files(folder)
    task.cancel()
    for running in asyncio.all_tasks() - {asyncio.current_task()}:
        running.cancel()
    await asyncio.sleep(0.01)
    for file, content in left.items():
        file.write_bytes(content)


def _files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.iterdir()}


async def test_what_takes_the_whole_service_with_it_is_set_aside(tmp_path: Path) -> None:
    for _ in range(DEATHS):
        await _die_over_it(tmp_path)

    with pytest.raises(SetAside, match="this service ended 3 times while it was being rendered"):
        await Quarantine(tmp_path).guarded(POISON, Patient())


async def test_an_end_of_the_service_now_and_then_is_nobodys_fault(tmp_path: Path) -> None:
    for _ in range(DEATHS * 2):
        await _die_over_it(tmp_path)
        assert await Quarantine(tmp_path).guarded(POISON, Patient()) == "done"


async def test_nothing_stays_of_what_went_well(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)

    await quarantine.guarded(POISON, Patient())

    assert _files(tmp_path) == {}


async def test_after_hours_it_has_one_more_chance() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    quarantine, patient = Quarantine(now=lambda: at), Patient(2, 1, 1)
    await _try(quarantine, patient, times=5)

    at += AGAIN_AFTER + timedelta(seconds=1)
    await _try(quarantine, patient, times=5)

    assert patient.asked == 2


async def test_no_more_is_remembered_than_there_is_room_for(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    for number in range(REMEMBERED + 5):
        with pytest.raises(EngineBroken):
            await quarantine.guarded(b"%d" % number, Patient(1))

    assert len(_files(tmp_path)) == REMEMBERED


async def test_a_half_written_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / f"{POISON.hex()}.json").write_bytes(b'{"kills":')

    assert await Quarantine(tmp_path).guarded(POISON, Patient()) == "done"


async def test_a_disk_that_fails_costs_only_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    quarantine, patient = Quarantine(tmp_path / "file" / "below"), Patient(2, 2)

    await _try(quarantine, patient, times=3)

    assert patient.asked == 1
