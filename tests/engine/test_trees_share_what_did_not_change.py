"""Revisions of a repository share in memory, and in work, what is the same in both."""

import gzip
import io
import random
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared import gzip_members, tar_blocks
from shared.archive import ARTIFACT, TarWriter
from shared.engine_messages import BuildRequest, EngineRefused
from tests.engine.conftest import Workshop
from tests.support.packing import Files, digest_of, pack
from tests.support.processes import only_child, processor_ticks

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
REMOVED = None
REPOSITORY = {
    "base/a.yaml": CONFIG_MAP % "a",
    "base/b.yaml": CONFIG_MAP % "b",
    "base/deep/c.yaml": CONFIG_MAP % "c",
    "other/d.yaml": CONFIG_MAP % "d",
    "README.md": "hello\n",
}


def _revised(changes: Mapping[str, str | None]) -> Files:
    changed = {**REPOSITORY, **changes}
    return {path: text for path, text in changed.items() if text is not None}


CHANGES: dict[str, tuple[dict[str, str | None], set[str]]] = {
    "nothing": ({}, set()),
    "a content": ({"base/a.yaml": "x"}, {"r:base/a.yaml"}),
    "a file more": (
        {"base/deep/z.yaml": "x"},
        {"r:base/deep/z.yaml", "s:base/deep/z.yaml", "l:base/deep/z.yaml", "l:base/deep"},
    ),
    "a directory less": (
        {"other/d.yaml": REMOVED},
        {f"{what}:{path}" for what in "rsl" for path in ("other", "other/d.yaml")} | {"l:."},
    ),
    "a file that becomes a directory": (
        {"README.md": REMOVED, "README.md/x": "x"},
        {f"{what}:{path}" for what in "rsl" for path in ("README.md", "README.md/x")} | {"l:."},
    ),
}


@pytest.mark.parametrize(("changes", "told"), CHANGES.values(), ids=CHANGES)
async def test_what_is_different_is_told_as_questions(
    workshop: Workshop, changes: dict[str, str | None], told: set[str]
) -> None:
    before, after = await workshop.tree(REPOSITORY), await workshop.tree(_revised(changes))

    assert await workshop.engine.changes(before, after) == told
    assert await workshop.engine.changes(after, before) == told


@pytest.mark.parametrize("seed", range(20))
async def test_changes_are_those_questions_that_are_answered_otherwise(
    workshop: Workshop, seed: int
) -> None:
    """Of any two trees, whatever is asked of them."""
    drawn = random.Random(seed)
    one, other = (
        {
            path: drawn.choice("xy")
            for path in ("a", "b", "c/a", "c/b/a", "c/b/b", "d/a/b")
            if drawn.random() < 0.6
        }
        for _ in range(2)
    )
    before, after = await workshop.tree(one), await workshop.tree(other)
    paths = [".", "a", "b", "c", "c/a", "c/b", "c/b/a", "c/b/b", "d", "d/a", "d/a/b", "e"]
    questions = [f"{what}:{path}" for what in "rsl" for path in paths]

    changed = await workshop.engine.changes(before, after)

    assert changed == {
        question
        for question in questions
        if await workshop.engine.trace(before, [question])
        != await workshop.engine.trace(after, [question])
    }


def _member(key: bytes, files: Mapping[str, bytes]) -> bytes:
    writer = TarWriter(ARTIFACT)
    blocks = [block for path, text in files.items() for block in writer.file(path, 0o644, text)]
    return gzip_members.member(key, blocks)


END = gzip_members.member(gzip_members.key_of((b"end",)), [tar_blocks.END])


async def _load(workshop: Workshop, *members: bytes) -> str:
    packed = b"".join(members)
    path = workshop.folder / f"{digest_of(packed)}.tgz"
    path.write_bytes(packed)
    await workshop.engine.load_tree(path.stem, path)
    return path.stem


async def _same_as(workshop: Workshop, tree: str, files: Mapping[str, bytes]) -> bool:
    return not await workshop.engine.changes(tree, await workshop.tree(files))


def _large(count: int) -> list[tuple[bytes, dict[str, bytes]]]:
    """A megabyte a member, which does not pack."""
    drawn = random.Random(1)
    return [
        (b"%016d" % number, {f"data/{number:03d}.bin": drawn.randbytes(1 << 20)})
        for number in range(count)
    ]


async def test_the_next_revision_costs_what_changed(workshop: Workshop) -> None:
    members = _large(60)
    packed = [_member(key, files) for key, files in members]
    first = await _load(workshop, *packed, END)
    key, changed = b"%016d" % 59, {"data/059.bin": b"small"}
    before = processor_ticks(only_child("engine"))

    second = await _load(workshop, *packed[:-1], _member(key, changed), END)

    assert await workshop.engine.changes(first, second) == {"r:data/059.bin"}
    assert processor_ticks(only_child("engine")) - before < 30


async def test_what_is_shared_is_kept_once(workshop: Workshop) -> None:
    """The engine here has 64 MiB for trees; ten revisions of 50 MiB stay in it."""
    members = _large(50)
    packed = [_member(key, files) for key, files in members]
    trees = [
        await _load(workshop, *packed, _member(b"z" * 16, {"z.yaml": b"x: %d" % number}), END)
        for number in range(10)
    ]
    for tree in trees:
        (workshop.folder / f"{tree}.tgz").unlink()

    for tree in trees[1:]:
        assert await workshop.engine.changes(trees[0], tree) == {"r:z.yaml"}


async def test_what_no_tree_holds_any_more_is_let_go(workshop: Workshop) -> None:
    """Ten revisions of 40 MiB that have nothing in common, in an engine of 256 MiB."""
    engine = only_child("engine")

    for number in range(10):
        files = {f"{part}.txt": b"%d %d" % (number, part) + bytes(1 << 20) for part in range(40)}
        packed = [
            _member(b"%016d" % part, {path: text})
            for part, (path, text) in enumerate(files.items())
        ]
        await _load(workshop, *packed, END)

    assert only_child("engine") == engine


async def test_a_forged_key_gets_nobodys_bytes(workshop: Workshop) -> None:
    key = b"k" * 16
    await _load(workshop, _member(key, {"secret.yaml": b"theirs"}), END)

    forged = await _load(workshop, _member(key, {"secret.yaml": b"mine"}), END)

    assert await _same_as(workshop, forged, {"secret.yaml": b"mine"})


def _gzip_with_claim(blocks: bytes, length: int) -> bytes:
    """A member that claims another length than it has."""
    honest = gzip_members.member(b"c" * 16, [blocks])
    return honest[:32] + struct.pack("<I", length) + honest[36:]


def _blocks(files: Mapping[str, bytes]) -> bytes:
    writer = TarWriter(ARTIFACT)
    return b"".join(b for path, text in files.items() for b in writer.file(path, 0o644, text))


ONE, TWO = _blocks({"a.yaml": b"1" * 2000}), _blocks({"b.yaml": b"2" * 2000})
LONG = _blocks({"deep/" * 60 + "long.yaml": b"3" * 2000})
PAX, FILE = (
    LONG[-3584:-2560],
    LONG[-2560:],
)  # two blocks that tell the name, then header and content


def _packed(*blocks: bytes) -> list[bytes]:
    return [gzip_members.member(b"%016d" % n, [each]) for n, each in enumerate(blocks)]


ODD = {
    "a file that two members share": _packed(ONE[:1024], ONE[1024:] + TWO, tar_blocks.END),
    "a long name in one member, its file in the next": _packed(
        ONE + PAX, FILE + TWO, tar_blocks.END
    ),
    "an end before the end": _packed(ONE, tar_blocks.END, TWO, tar_blocks.END),
    "no end": _packed(ONE, TWO),
    "members of others among ours": [
        *_packed(ONE),
        gzip.compress(TWO, mtime=0),
        *_packed(tar_blocks.END),
    ],
    "a claim to be longer": [
        _gzip_with_claim(ONE, len(_packed(ONE)[0]) - 40 + len(_packed(TWO)[0])),
        *_packed(TWO, tar_blocks.END),
    ],
}


@pytest.mark.parametrize("members", ODD.values(), ids=ODD)
async def test_an_archive_means_what_it_means_as_one_stream(
    workshop: Workshop, members: list[bytes]
) -> None:
    """A stranger may put members together as they like; other readers do not look at them."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(b"".join(members)))) as stream:
        expected = {
            entry.name: content.read()
            for entry in stream
            if (content := stream.extractfile(entry)) is not None
        }

    tree = await _load(workshop, *members)

    assert await _same_as(workshop, tree, expected)


async def test_a_damaged_member_is_refused(workshop: Workshop) -> None:
    packed = bytearray(_packed(ONE)[0])
    packed[-6] ^= 1

    with pytest.raises(EngineRefused, match="cannot be read"):
        await _load(workshop, bytes(packed), END)


async def test_builds_of_shared_trees_are_those_of_others(workshop: Workshop) -> None:
    files = {"a.yaml": (CONFIG_MAP % "a").encode(), "b.yaml": (CONFIG_MAP % "b").encode()}
    shared = await _load(
        workshop, *(_member(name.encode() * 2, {name: text}) for name, text in files.items()), END
    )
    plain = pack(Path(workshop.folder), files)
    await workshop.engine.load_tree(plain.stem, plain)

    builds = [await workshop.engine.build(BuildRequest(tree=tree)) for tree in (shared, plain.stem)]

    assert builds[0] == builds[1]
