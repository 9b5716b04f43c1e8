"""The same files are the same bytes, whatever there was to copy them from."""

import asyncio
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.source.git.shards import LARGEST, MOST_FILES, PackedFile, pack_shards, shards_of
from shared.archive import ARTIFACT, ArchiveError, unpack
from shared.artifact_file import ArtifactFile
from shared.digests import digest_of

Tree = dict[str, bytes]


class Packing(NamedTuple):
    content: bytes
    read: list[str]  # paths whose content was asked for


def packed(tree: Tree, folder: Path, earlier: bytes | None = None, run: int = 0) -> Packing:
    before = folder / "earlier.tar.gz" if earlier is not None else None
    if before is not None and earlier is not None:
        before.write_bytes(earlier)
    files = [
        PackedFile(path, 0o755 if path.endswith("sh") else 0o644, digest_of(content), len(content))
        for path, content in sorted(tree.items(), key=lambda each: each[0].encode())
    ]
    asked: list[str] = []

    async def read(wanted: Sequence[PackedFile]) -> list[bytes]:
        asked.extend(file.path for file in wanted)
        return [tree[file.path] for file in wanted]

    with ArtifactFile(folder / "artifact", earlier=before) as into:
        asyncio.run(pack_shards(files, into, read, ARTIFACT))
        digest, size = into.digest, into.size
    content = (folder / "artifact").read_bytes()
    assert (digest, size) == (digest_of(content), len(content))
    return Packing(content, asked)


FILES, FILE_SIZE = 2000, 5000


def a_tree() -> Tree:
    dice = random.Random(1)
    return {
        f"apps/{n % 9}/{n:04}.yaml": dice.randbytes(FILE_SIZE // 2).hex().encode()
        for n in range(FILES)
    }


paths = st.lists(
    st.sampled_from(["a", "b", "c.yaml", "d.sh", "é", "x" * 120]), min_size=1, max_size=3
).map("/".join)
trees = st.dictionaries(
    paths, st.binary(max_size=300_000) | st.binary(max_size=50), max_size=12
).filter(lambda tree: not any(f"{path}/" in other for path in tree for other in tree))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tree=trees,
    other=trees,
    flips=st.lists(st.integers(0, 10**7), max_size=5),
    cut=st.integers(0, 10**6),
)
def test_the_bytes_depend_on_the_files_alone(
    tree: Tree, other: Tree, flips: list[int], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    fresh = packed(tree, folder).content
    similar = packed({**other, **tree}, folder).content
    damaged = bytearray(similar)
    for at in flips:
        damaged[at % len(damaged)] ^= 1 << (at % 8)

    for earlier in (fresh, similar, bytes(damaged), similar[: cut % len(similar)], b"", b"garbage"):
        assert packed(tree, folder, earlier).content == fresh
    assert {entry.path: entry.content for entry in unpack(fresh)} == tree


def test_a_change_costs_one_shard(tmp_path: Path) -> None:
    tree = a_tree()
    before = packed(tree, tmp_path)
    changed = {**tree, "apps/3/0003.yaml": b"changed"}

    after = packed(changed, tmp_path, before.content)

    assert len(before.read) == FILES
    assert 0 < len(after.read) <= LARGEST // FILE_SIZE
    assert {e.path: e.content for e in unpack(after.content)} == changed


@pytest.mark.parametrize("path", ["apps/0/0", "apps/4/new.yaml", "zzz", "apps/5/0005a.yaml"])
def test_a_new_file_and_one_that_is_gone_cost_little_more(tmp_path: Path, path: str) -> None:
    tree = a_tree()
    larger = {**tree, path: b"x" * 20_000}
    small, large = packed(tree, tmp_path), packed(larger, tmp_path)

    assert len(packed(larger, tmp_path, small.content).read) <= 2 * LARGEST // FILE_SIZE
    assert len(packed(tree, tmp_path, large.content).read) <= 2 * LARGEST // FILE_SIZE


def test_nothing_is_read_when_nothing_changed(tmp_path: Path) -> None:
    tree = a_tree()
    before = packed(tree, tmp_path)

    assert packed(tree, tmp_path, before.content) == Packing(before.content, [])


def test_an_executable_bit_is_a_change(tmp_path: Path) -> None:
    files = [PackedFile("run", mode, "1", 1) for mode in (0o644, 0o755)]

    async def read(wanted: Sequence[PackedFile]) -> list[bytes]:
        return [b"x"]

    digests = []
    for file in files:
        with ArtifactFile(tmp_path / "a", earlier=tmp_path / "b") as into:
            asyncio.run(pack_shards([file], into, read, ARTIFACT))
            digests.append(into.digest)
        (tmp_path / "a").rename(tmp_path / "b")

    assert digests[0] != digests[1]


def test_shards_are_neither_large_nor_many() -> None:
    small = [PackedFile(f"{n:05}", 0o644, "", 10) for n in range(3000)]
    large = [PackedFile(f"{n:05}", 0o644, "", LARGEST * 3) for n in range(5)]

    assert max(len(shard) for shard in shards_of(small)) <= MOST_FILES
    assert len(list(shards_of(small))) < 30
    assert [len(shard) for shard in shards_of(large)] == [1] * 5


def test_a_shard_that_begins_in_an_open_folder_is_another(tmp_path: Path) -> None:
    last = {"a/b/2": b"small"}
    before = packed({"a/b/1": bytes(LARGEST), **last}, tmp_path)  # two shards

    after = packed(last, tmp_path, before.content)

    assert after == Packing(packed(last, tmp_path).content, ["a/b/2"])


def test_other_programs_read_it(tmp_path: Path) -> None:
    tree = a_tree() | {"run.sh": b"#!/bin/sh\n", "x" * 90 + "/" + "y" * 120: b"long"}
    (tmp_path / "a.tar.gz").write_bytes(packed(tree, tmp_path).content)
    into = tmp_path / "unpacked"
    into.mkdir()

    subprocess.run(["tar", "-xzf", tmp_path / "a.tar.gz", "-C", into], check=True)

    found = {
        str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()
    }
    assert found == tree
    assert (into / "run.sh").stat().st_mode & 0o777 == 0o700
    subprocess.run(["gzip", "-t", tmp_path / "a.tar.gz"], check=True)


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b"])
def test_what_would_be_copied_is_checked_all_the_same(tmp_path: Path, path: str) -> None:
    with pytest.raises(ArchiveError, match="not a path inside"):
        packed({path: b"x"}, tmp_path, b"")
