"""Turns: so many at a time, and who waits for others that never end gives up in time."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from services.source.git.fetch_turns import AT_ONE_SERVER, OF_STRANGERS, FetchTurns
from services.source.git.runner import GitTimeout
from services.source.turns import NoTurn, Turns
from tests.support.eventually import eventually

SHORT = timedelta(seconds=0.2)
LONG = timedelta(seconds=30)


async def test_who_waits_for_those_that_never_end_gives_up_and_says_so() -> None:
    turns = Turns(1, "downloads from x.example")

    async with turns.turn(LONG):
        with pytest.raises(NoTurn, match=r"downloads from x\.example did not end within 0\.2s"):
            async with turns.turn(SHORT):
                pass

    async with turns.turn(SHORT):
        pass


async def test_a_queue_that_moves_is_waited_in() -> None:
    turns, done = Turns(1, "others"), []

    async def takes(seconds: float) -> None:
        async with turns.turn(timedelta(seconds=1)) as turn:
            await asyncio.sleep(seconds)
            done.append(turn.left)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(8):  # together longer than any of them would wait
            group.create_task(takes(0.3))

    assert len(done) == 8


async def test_a_bad_end_is_nothing_to_wait_for() -> None:
    turns = Turns(1, "others")
    began = asyncio.get_running_loop().time()

    async def fails() -> None:
        with suppress(ZeroDivisionError):
            async with turns.turn(LONG):
                await asyncio.sleep(0.15)
                raise ZeroDivisionError

    async def waits() -> None:
        with pytest.raises(NoTurn):
            async with turns.turn(SHORT):
                pass

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(fails())
        await asyncio.sleep(0)
        await waits()
        assert asyncio.get_running_loop().time() - began < 0.9


async def test_what_waiting_took_is_not_left() -> None:
    turns = Turns(1, "others")
    first = asyncio.Event()

    async def begins() -> None:
        with suppress(ZeroDivisionError):
            async with turns.turn(LONG):
                first.set()
                await asyncio.sleep(0.3)
                raise ZeroDivisionError

    async with asyncio.TaskGroup() as group:
        group.create_task(begins())
        await first.wait()
        async with turns.turn(LONG) as turn:
            assert turn.left < LONG - timedelta(seconds=0.2)


async def test_a_turn_that_is_given_up_twice_lets_one_begin() -> None:
    turns = Turns(1, "others")

    async with turns.turn(LONG) as turn:
        turn.give_up()
        turn.give_up()
        async with turns.turn(SHORT):
            with pytest.raises(NoTurn):
                async with turns.turn(SHORT):
                    pass


async def fetch(turns: FetchTurns, url: str, begun: list[str], *, hangs: bool = False) -> None:
    async with turns.turn(url, LONG):
        begun.append(url)
        if hangs:
            await asyncio.Event().wait()


async def test_strangers_that_hang_do_not_hold_up_servers_that_are_known() -> None:
    turns = FetchTurns(slow=LONG)
    begun: list[str] = []
    await fetch(turns, "https://good.example/x", begun)
    strangers = [f"https://{number}.example/x" for number in range(2 * OF_STRANGERS)]

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        hung = [group.create_task(fetch(turns, url, begun, hangs=True)) for url in strangers]
        await eventually(lambda: len(begun), lambda count: count == 1 + OF_STRANGERS)

        await fetch(turns, "https://good.example/y", begun)

        assert len(begun) == 2 + OF_STRANGERS
        for task in hung:
            task.cancel()


async def test_who_is_slow_makes_room_for_other_strangers() -> None:
    turns = FetchTurns(slow=timedelta(seconds=0.05))
    begun: list[str] = []
    strangers = [f"https://{number}.example/x" for number in range(OF_STRANGERS)]

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        hung = [group.create_task(fetch(turns, url, begun, hangs=True)) for url in strangers]
        await eventually(lambda: len(begun), lambda count: count == OF_STRANGERS)

        await fetch(turns, "https://new.example/x", begun)

        for task in hung:
            task.cancel()


async def test_one_server_has_no_more_than_its_own_turns_however_slow_it_is() -> None:
    turns = FetchTurns(slow=timedelta(seconds=0.01))
    begun: list[str] = []
    url = "https://hangs.example/x"

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        hung = [group.create_task(fetch(turns, url, begun, hangs=True)) for _ in range(20)]
        await eventually(lambda: len(begun), lambda count: count == AT_ONE_SERVER)
        await asyncio.sleep(0.1)

        with pytest.raises(GitTimeout, match=r"fetches from hangs\.example did not end"):
            async with turns.turn(url, SHORT):
                pass

        assert len(begun) == AT_ONE_SERVER
        for task in hung:
            task.cancel()


async def test_a_server_that_took_too_long_is_a_stranger_again() -> None:
    turns = FetchTurns(slow=LONG)
    begun: list[str] = []
    await fetch(turns, "https://good.example/x", begun)
    with pytest.raises(GitTimeout):
        async with turns.turn("https://good.example/x", LONG):
            raise GitTimeout
    strangers = [f"https://{number}.example/x" for number in range(OF_STRANGERS)]

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        hung = [group.create_task(fetch(turns, url, begun, hangs=True)) for url in strangers]
        await eventually(lambda: len(begun), lambda count: count == 1 + OF_STRANGERS)

        with pytest.raises(GitTimeout, match="had to wait: fetches from other servers"):
            async with turns.turn("https://good.example/x", SHORT):
                pass

        for task in hung:
            task.cancel()
