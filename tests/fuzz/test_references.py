"""What a spec says of references, and what a server answers, is understood or refused in words."""

import subprocess
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from services.source.endings import FetchFailed, GitStalled
from services.source.git.advertisement import Ref, advertised, listed, ls_refs
from services.source.git.pkt_line import ProtocolError, packet, packets
from services.source.git.reference import is_same_revision, resolve
from services.source.git.refs import GitRefs
from services.source.git.remote import Remote
from services.source.oci.address import is_digest, is_tag
from services.source.semver import InvalidVersion, Range, Version
from shared.resources.source.git_repository import GitReference
from tests.support.fuzzing import NUMBERS, Campaign, Mutator, campaigns, texts

T = TypeVar("T")
ID, TAG = "0123456789abcdef" * 2 + "01234567", "f" * 40
REMOTE = Remote("https://git.example/shop.git")
SOON = timedelta(seconds=1)
NAMES = texts(
    [
        *("refs/heads/main", "refs/tags/v1.0.0", "refs/pull/12/head", "refs/merge-requests/1/head"),
        *("main", "v1.0.0", "feature/a.b", "HEAD", ID, "d" * 64, f"main@sha1:{ID}", f"main/{ID}"),
        *("latest", f"sha256:{'0' * 64}", "refs/heads/a-b_c"),
    ]
)
IN_NAMES = texts(
    [
        *(
            "../",
            "/../../config",
            "--upload-pack=touch",
            "-x",
            ";id",
            "HEAD;id",
            "@{",
            "@",
            ".lock",
        ),
        *(
            "^",
            "~1",
            ":",
            "?",
            "*",
            "[",
            "//",
            "/.",
            ".",
            "refs/",
            "\x7f",
            "\x1b",
            "\u2028",
            "é",
            "$(id)",
        ),
    ]
)


class Known(GitRefs):
    """A server without a network: it has these, or every name that it is asked for."""

    def __init__(self, refs: list[Ref] | None = None) -> None:
        self.refs = refs
        self.asked: list[str] = []

    async def ask(
        self,
        remote: Remote,
        prefixes: Sequence[str],
        question: Callable[[list[Ref]], T],
        deadline: timedelta,
    ) -> T:
        self.asked += prefixes
        named = [Ref(prefix, TAG, ID) for prefix in prefixes]
        return question(named if self.refs is None else self.refs)


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Of work that has nothing to wait for, without an event loop."""
    try:
        work.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waits")


def is_known_to_git(name: str) -> bool:
    asked = subprocess.run(["git", "check-ref-format", name], check=False)
    return asked.returncode == 0


@campaigns
def test_a_reference_is_one_that_git_takes_or_is_refused(
    campaign: Campaign, say: Callable[[str], None]
) -> None:
    names: set[str] = set()

    def target(sample: bytes) -> None:
        text = sample.decode(errors="replace")
        refs = Known()
        for field in ("name", "tag", "branch", "commit"):
            with suppress(GitStalled):
                found = finished(resolve(GitReference(**{field: text}), REMOTE, refs, SOON))
                assert not found.fetched.startswith("-")
                assert is_same_revision(found.revision, found.revision)
        names.update(refs.asked)
        is_same_revision(text, text)
        if is_tag(text) or is_digest(text):
            assert not {*text} & {*"/ \n@"}
            assert not text.startswith("-")

    campaign.run(Mutator(NAMES, IN_NAMES, longest=300), target, say)

    few = sorted(names)[:: max(1, len(names) // 2000)]
    assert len(few) >= 2000
    assert [name for name in few if "\0" in name or not is_known_to_git(name)] == []


VERSIONS = texts(
    [
        *("1.2.3", "v1.2.3-rc.1+build.5", "1.0", "v2", "1.2.3-alpha.01", ">=1.0.0 <2.0.0", "^1.2"),
        *(
            "~1.2.x || >=3.0.0-0 <4",
            "1.2 - 3.4.5",
            "*",
            "!=1.0.0, >0.5",
            "~>2.1",
            "=>1,=<2",
            "^0.0.1",
        ),
    ]
)
IN_VERSIONS = (
    *NUMBERS,
    *texts(["x", "X", "*", "||", " - ", ",", ".", "-", "+", "v", "^", "~", ">="]),
)
IN_VERSIONS += texts(
    ["\u0663", "\u00b2", "1" * 100, "-0", "  ", "\t", "!=", "\u2028", "-" * 30, "a." * 40]
)
SOME = tuple(map(Version.parse, ("1.2.3", "0.0.1", "2.0.0-rc.1", "18446744073709551615.0.0")))


@campaigns
def test_a_version_or_range_is_compared_or_refused(
    campaign: Campaign, say: Callable[[str], None]
) -> None:
    def target(sample: bytes) -> None:
        text = sample.decode(errors="replace")
        with suppress(InvalidVersion):
            accepted = Range.parse(text)
            for known in SOME:
                assert accepted.accepts(known) is Range.parse(text).accepts(known)
        with suppress(InvalidVersion):
            version = Version.parse(text)
            assert (version < SOME[0]) + (version == SOME[0]) + (version > SOME[0]) == 1
            assert hash(version) == hash(Version.parse(text))
        with suppress(InvalidVersion):
            assert Version.is_valid(Version.parse_strictly(text).text)

    campaign.run(Mutator(VERSIONS, IN_VERSIONS, longest=300), target, say)


LINES = tuple(
    packet(line)
    for line in (
        f"{ID} HEAD symref-target:refs/heads/main",
        f"{TAG} refs/tags/v1 peeled:{ID}",
        f"{ID} refs/heads/main",
        "unborn HEAD symref-target:refs/heads/main",
        "version 2",
        "object-format=sha1",
        "ERR no such repository",
        "# service=git-upload-pack",
        f"{TAG} refs/tags/v1\0multi_ack",
        f"{ID} refs/tags/v1^{{}}",
    )
)
ANSWERS = (
    b"".join(LINES[:3]) + b"0000",
    b"".join(LINES[3:]) + b"0000",
    b"".join(LINES),
    b"0000",
    b"0001".join(LINES[:4]) + b"0002",
    LINES[2] * 3 + b"0000",
)
IN_ANSWERS = (
    *LINES,
    b"0000",
    b"0001",
    b"0002",
    b"0003",
    b"0004",
    b"ffff",
    b"-001",
    b" 10 ",
    b"+00a",
)


@campaigns
def test_an_answer_of_any_bytes_is_a_list_of_references_or_none(
    campaign: Campaign, say: Callable[[str], None]
) -> None:
    def target(answer: bytes) -> None:
        with suppress(ProtocolError):
            lines = list(packets(answer))
            ls_refs((line.decode(errors="replace") for line in lines), ["refs/"])
            for ref in advertised(line for line in lines if line != b"0000"):
                assert {*map(len, (ref.commit, ref.object_id))} <= {40, 64}
        with suppress(ProtocolError):
            for ref in listed(answer, ["refs/tags/"]):
                assert ref.name.startswith("refs/tags/")
                assert {*map(len, (ref.commit, ref.object_id))} <= {40, 64}

    campaign.run(Mutator(ANSWERS, IN_ANSWERS, longest=1024), target, say)


def test_tags_of_any_name_are_no_obstacle_to_a_range() -> None:
    """A server lists what it likes; what is no version is passed over."""
    odd = [Ref(f"refs/tags/{name}", TAG, ID) for name in ("\udcff", "9" * 400, "v1.2.3", "1.2.3.4")]

    found = finished(resolve(GitReference(semver=">0"), REMOTE, Known(odd), SOON))

    assert found.label == "v1.2.3"
    with suppress(FetchFailed):
        finished(resolve(GitReference(semver=">9"), REMOTE, Known(odd), SOON))
