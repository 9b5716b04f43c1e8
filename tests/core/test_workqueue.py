"""Names waiting to be looked at."""

import asyncio
from datetime import timedelta

from shared.workqueue import URGENT_IN_A_ROW, WorkQueue
from tests.support.virtual_time import in_virtual_time


async def test_ten_events_are_one_look() -> None:
    queue: WorkQueue[str] = WorkQueue()

    for _ in range(10):
        queue.add("shop")

    assert await queue.get() == "shop"
    assert len(queue) == 0


async def test_an_event_during_a_run_waits_for_its_end() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("shop")
    key = await queue.get()

    queue.add("shop")

    assert len(queue) == 0
    queue.done(key)
    assert await queue.get() == "shop"


async def test_urgent_names_go_first() -> None:
    queue: WorkQueue[str] = WorkQueue()

    queue.add("interval", urgent=False)
    queue.add("commit")

    assert [await queue.get(), await queue.get()] == ["commit", "interval"]


async def test_a_routine_name_that_becomes_urgent_moves_ahead() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", urgent=False)
    queue.add("b", urgent=False)

    queue.add("b")

    assert [await queue.get(), await queue.get()] == ["b", "a"]
    assert len(queue) == 0


async def test_urgent_names_do_not_starve_routine_ones() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("routine", urgent=False)
    for number in range(URGENT_IN_A_ROW * 2):
        queue.add(f"urgent-{number}")

    served = [await queue.get() for _ in range(URGENT_IN_A_ROW + 1)]

    assert served[-1] == "routine"


def test_a_delayed_name_comes_when_its_time_has_come() -> None:
    async def scenario() -> float:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after("shop", timedelta(seconds=30))
        await queue.get()
        return asyncio.get_running_loop().time()

    assert 30 <= in_virtual_time(scenario()) < 31


def test_a_later_delay_replaces_an_earlier_one() -> None:
    async def scenario() -> float:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after("shop", timedelta(seconds=30))
        queue.add_after("shop", timedelta(minutes=10))
        await queue.get()
        return asyncio.get_running_loop().time()

    assert 600 <= in_virtual_time(scenario()) < 601


async def test_a_delay_does_not_put_off_what_is_already_due() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("shop")

    queue.add_after("shop", timedelta(hours=1))

    assert await queue.get() == "shop"


def test_a_forgotten_name_does_not_come_back() -> None:
    async def scenario() -> int:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after("shop", timedelta(seconds=1))
        queue.add("web")
        queue.forget("shop")
        queue.forget("web")
        await asyncio.sleep(60)
        return len(queue)

    assert in_virtual_time(scenario()) == 0
