"""One lane, in virtual time: what an outage, a refusal and a crash of judgement cost."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.notify.courier import Obsolete
from services.notify.lane import HOPELESS_AFTER, MENDED_WITHIN, NEWS_FOR, Lane
from services.notify.posting import Refused, Rejected, Unavailable
from shared.consuming import Received
from shared.messages import AlertRef, Delivery, EventPayload
from shared.resources.meta import NamespacedName
from tests.support.notifications import an_event
from tests.support.virtual_time import in_virtual_time

BEGIN = datetime(2026, 1, 2, tzinfo=UTC)
ALERT = AlertRef(namespace="team-a", name="all", uid="u-all")


class Weather:
    """A provider that answers as a test says; remembers what it took, and when it was asked."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.asked_at: list[float] = []
        self.answer: Callable[[str], Exception | None] = lambda _: None
        self.takes = 0.0
        self.at_once = 0
        self.most_at_once = 0

    async def attempt(self, key: NamespacedName, event: EventPayload, queued_at: datetime) -> None:
        self.asked_at.append(seconds())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.takes)
        self.at_once -= 1
        problem = self.answer(event.message)
        if problem is not None:
            raise problem
        self.taken.append(event.message)


class World:
    def __init__(self) -> None:
        self.provider = Weather()
        self.reports: list[str] = []
        self.lane = Lane(
            NamespacedName("team-a", "chat"),
            self.provider,
            lambda ref, message: self.reports.append(message),
            lambda: BEGIN + timedelta(seconds=seconds()),
        )

    async def deliver(self, *messages: str, of: str = "shop", at: datetime = BEGIN) -> None:
        await asyncio.gather(*(self.lane.deliver(queued(m, of, at)) for m in messages))


def queued(message: str, name: str, at: datetime = BEGIN) -> Received[Delivery]:
    delivery = Delivery(event=an_event(message, name=name), alert=ALERT)
    return Received(("team-a", "chat"), delivery, message, at, 1)


def seconds() -> float:
    return asyncio.get_running_loop().time()


def down_until(moment: float) -> Callable[[str], Exception | None]:
    return lambda _: Unavailable("away") if seconds() < moment else None


def test_an_outage_of_an_hour_loses_nothing_and_keeps_the_order() -> None:
    async def scenario() -> None:
        world = World()
        world.provider.answer = down_until(3600)

        await world.deliver(*"abcdefgh")

        assert world.provider.taken == list("abcdefgh")
        assert 3600 <= seconds() < 3620

    in_virtual_time(scenario())


def test_a_provider_that_is_down_is_not_hammered() -> None:
    async def scenario() -> None:
        world = World()
        world.provider.answer = down_until(3600)

        await asyncio.gather(*(world.deliver("x", of=str(number)) for number in range(16)))

        # 16 together at first, then one at a time, a quarter of a minute apart.
        assert len(world.provider.asked_at) < 16 + 3600 / 12 + 10 + 16
        assert len(world.provider.taken) == 16

    in_virtual_time(scenario())


def test_an_outage_is_over_within_seconds() -> None:
    async def scenario() -> None:
        world = World()
        world.provider.answer = down_until(60)

        await world.deliver("a")

        assert seconds() < 76

    in_virtual_time(scenario())


def test_many_failures_at_once_are_one_reason_to_wait() -> None:
    async def scenario() -> None:
        world = World()
        world.provider.takes = 0.1
        world.provider.answer = down_until(0.15)

        await asyncio.gather(*(world.deliver("x", of=str(number)) for number in range(16)))

        assert seconds() < 0.1 + 0.5 + 16 * 0.1 + 0.1

    in_virtual_time(scenario())


def test_different_objects_go_side_by_side_and_one_object_in_order() -> None:
    async def scenario() -> None:
        world = World()
        world.provider.takes = 1.0

        await asyncio.gather(world.deliver("a1", "a2", of="a"), world.deliver("b1", "b2", of="b"))

        assert seconds() == pytest.approx(2.0)
        assert world.provider.most_at_once == 2
        assert [m for m in world.provider.taken if m.startswith("a")] == ["a1", "a2"]

    in_virtual_time(scenario())


def test_a_provider_that_asks_for_patience_gets_it() -> None:
    async def scenario() -> None:
        world = World()
        patience = [Unavailable("slow down", timedelta(seconds=42))]
        world.provider.answer = lambda _: patience.pop() if patience else None

        await world.deliver("a", "b")

        assert world.provider.asked_at == [0.0, pytest.approx(42.0), pytest.approx(42.0)]

    in_virtual_time(scenario())


def test_what_is_rejected_is_given_up_at_once_and_told() -> None:
    async def scenario() -> None:
        world = World()
        world.provider.answer = lambda message: Rejected("invalid") if message == "bad" else None

        await world.deliver("bad", "good")

        assert world.provider.taken == ["good"]
        assert world.reports == ["Provider team-a/chat: invalid"]
        assert seconds() == 0

    in_virtual_time(scenario())


def test_a_refusal_waits_for_somebody_to_mend_it() -> None:
    async def scenario() -> None:
        world = World()
        mended = MENDED_WITHIN.total_seconds() - 60
        world.provider.answer = lambda _: Refused("401") if seconds() < mended else None

        await world.deliver("a", "b")

        assert world.provider.taken == ["a", "b"]

    in_virtual_time(scenario())


@pytest.mark.parametrize(
    ("problem", "kept_for"), [(Refused("401"), MENDED_WITHIN), (Unavailable("away"), NEWS_FOR)]
)
def test_old_news_is_given_up_and_new_news_is_not(problem: Exception, kept_for: timedelta) -> None:
    async def scenario() -> None:
        world = World()
        end = kept_for.total_seconds()
        world.provider.answer = lambda _: problem if seconds() < end + 300 else None

        async def later() -> None:
            await asyncio.sleep(end - 600)
            now = BEGIN + timedelta(seconds=seconds())
            await world.deliver("new", of="other", at=now)

        await asyncio.gather(world.deliver(*(str(n) for n in range(100))), later())

        assert world.provider.taken == ["new"]
        assert seconds() < end + 330

    in_virtual_time(scenario())


def test_one_that_never_goes_through_does_not_hold_up_the_others_for_ever() -> None:
    async def scenario() -> None:
        world = World()
        world.provider.answer = lambda message: Unavailable("500") if message == "bad" else None

        async def others() -> None:
            for number in range(2000):
                await world.deliver(f"other {number}", of=f"other {number}")
                await asyncio.sleep(0.5)

        await asyncio.gather(world.deliver("bad", "behind"), others())

        attempts = len(world.provider.asked_at) - 2001
        assert HOPELESS_AFTER <= attempts <= HOPELESS_AFTER + 5
        assert "behind" in world.provider.taken
        assert len(world.provider.taken) == 2001

    in_virtual_time(scenario())


def test_three_failures_in_ten_lose_nothing_and_cost_little_time() -> None:
    async def scenario() -> None:
        world = World()
        random.seed(7)  # of the pauses, which are spread by chance
        dice = random.Random(7)
        world.provider.answer = lambda _: Unavailable("503") if dice.random() < 0.3 else None

        await asyncio.gather(
            *(world.deliver(*(f"{n}-{m}" for m in range(5)), of=str(n)) for n in range(16))
        )

        assert len(world.provider.taken) == 80
        for number in range(16):
            mine = [m for m in world.provider.taken if m.startswith(f"{number}-")]
            assert mine == [f"{number}-{m}" for m in range(5)]
        assert seconds() < 8

    in_virtual_time(scenario())


def test_what_nobody_waits_for_any_more_is_passed_over_silently() -> None:
    async def scenario() -> None:
        world = World()
        world.provider.answer = lambda _: Obsolete("suspended")

        await world.deliver("a", "b")

        assert (world.provider.taken, world.reports) == ([], [])

    in_virtual_time(scenario())


def test_a_bug_in_a_provider_is_told_without_details_and_tried_again() -> None:
    async def scenario() -> None:
        world = World()
        bugs = [KeyError("secret detail")]
        world.provider.answer = lambda _: bugs.pop() if bugs else None

        await world.deliver("a")

        assert world.provider.taken == ["a"]
        assert world.reports == [
            "Provider team-a/chat: internal error: KeyError; see the controller's log"
        ]

    in_virtual_time(scenario())
