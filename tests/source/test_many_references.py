"""A repository of many tags costs their reading once, and holds up nobody meanwhile."""

import asyncio
import threading
from datetime import timedelta

import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.endings import FetchFailed
from services.source.git import readings
from services.source.git.advertisement import Advertisement, Ref
from services.source.git.pkt_line import FLUSH, ProtocolError, packet
from services.source.git.readings import LONG, Readings
from services.source.git.reference import resolve
from services.source.git.remote import Remote
from services.source.git.ssh_refs import _walked
from shared.resources.source.git_repository import GitReference
from tests.bench.large_repositories import add_tags
from tests.source.conftest import Tools

SOON = timedelta(seconds=20)
TAGS = ["refs/tags/"]


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    repository = await git_server.repository("shop", {"a.yaml": "a: 1\n"})
    add_tags(repository, 2000)
    return repository


class Count:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, refs: list[Ref]) -> int:
        self.asked += 1
        return len(refs)


def listing(tags: int, commit: str = "a" * 40) -> bytes:
    lines = (packet(f"{commit} refs/tags/v1.0.{number}") for number in range(tags))
    return b"".join(lines) + FLUSH


LONG_LIST = listing(1000)
assert len(LONG_LIST) > LONG


async def test_a_list_that_is_as_before_is_not_read_again(shop: Repository, tools: Tools) -> None:
    count, remote = Count(), Remote(shop.url)

    async def tags() -> int:
        return await tools.refs.ask(remote, TAGS, count, SOON)

    assert [await tags(), await tags()] == [2000, 2000]
    assert count.asked == 1
    await shop.tag("v2.0.0")

    assert [await tags(), await tags()] == [2001, 2001]
    assert count.asked == 2


async def test_the_latest_of_many_is_known_again_and_replaced_by_a_later_one(
    shop: Repository, tools: Tools
) -> None:
    async def latest(semver: str) -> str:
        wanted = GitReference(semver=semver)
        return (await resolve(wanted, Remote(shop.url), tools.refs, SOON)).label

    assert [await latest(">=1"), await latest(">=1")] == ["v1.19.99"] * 2
    assert await latest("1.3.x") == "v1.3.99"
    with pytest.raises(FetchFailed, match=r"no tag matches spec\.ref\.semver '>=2'"):
        await latest(">=2")
    await shop.tag("v2.0.0")

    assert [await latest(">=1"), await latest(">=2")] == ["v2.0.0"] * 2


async def test_while_a_long_list_is_read_others_go_on() -> None:
    going_on = threading.Event()

    def question(refs: list[Ref]) -> bool:
        asked.set()
        return going_on.wait(10)

    asked = threading.Event()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(Readings().answer(Advertisement(LONG_LIST, ("",)), question))
        await asyncio.to_thread(asked.wait, 10)
        going_on.set()

    assert reading.result()


@pytest.mark.parametrize(
    "other",
    [
        Advertisement(listing(1000, "b" * 40), ("refs/tags/",)),
        Advertisement(LONG_LIST, ("refs/tags/v1.0.1",)),
    ],
    ids=["text", "prefixes"],
)
async def test_another_list_has_another_answer(other: Advertisement) -> None:
    known = Readings()
    first = Advertisement(LONG_LIST, ("refs/tags/",))

    assert await known.answer(first, list) == first.read()
    assert await known.answer(other, list) == other.read()
    assert first.read() != other.read()


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "MOST_REMEMBERED", 2)
    known, counts = Readings(), [Count(), Count(), Count()]
    told = Advertisement(LONG_LIST, ("refs/tags/",))

    for count in (counts[n] for n in (0, 1, 0, 2, 0, 1)):
        assert await known.answer(told, count) == 1000

    assert [count.asked for count in counts] == [1, 2, 1]


async def test_a_long_list_that_is_no_list_is_refused() -> None:
    cut_off = Advertisement(LONG_LIST.removesuffix(FLUSH), ("refs/tags/",))

    with pytest.raises(ProtocolError, match="cut off"):
        await Readings().answer(cut_off, len)


@pytest.mark.parametrize("service", [b"", packet("# service=git-upload-pack") + FLUSH])
def test_all_that_an_older_server_has_is_searched_for_what_was_asked(service: bytes) -> None:
    heads = packet("b" * 40 + " HEAD\0multi_ack") + packet("b" * 40 + " refs/heads/main")
    tag = packet("a" * 40 + " refs/tags/v1") + packet("b" * 40 + " refs/tags/v1^{}")

    told = Advertisement(service + heads + tag + FLUSH, ("refs/tags/",), older=True)

    assert told.read() == [Ref("refs/tags/v1", "a" * 40, "b" * 40)]


@pytest.mark.parametrize("size", [1, 3, 4, 7, 64, 10_000])
def test_the_end_of_a_list_is_found_wherever_the_pieces_end(size: int) -> None:
    text, answer, position, is_whole = listing(20) + b"more", bytearray(), 0, False

    while not is_whole:
        answer += text[len(answer) : len(answer) + size]
        position, is_whole = _walked(answer, position)

    assert bytes(answer[:position]) == listing(20)
