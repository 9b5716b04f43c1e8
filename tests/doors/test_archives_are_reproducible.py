"""The same content packs to the same bytes, in a form that every tar reads."""

import gzip
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.archive import ArchiveError, Entry, Limits, Packer, pack, unpack

segments = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)
paths = st.lists(segments, min_size=1, max_size=6).map("/".join)
contents = st.binary(max_size=2000)


def packed(*entries: Entry, limits: Limits | None = None) -> bytes:
    into = io.BytesIO()
    result = pack(entries, into, *([limits] if limits else []))
    assert result.size == len(into.getvalue())
    assert result.digest == "sha256:" + hashlib.sha256(into.getvalue()).hexdigest()
    return into.getvalue()


def without_collisions(files: dict[str, bytes]) -> list[Entry]:
    """Sorted as Git sorts, and no file that is also another's directory."""
    kept = [p for p in files if not any(other.startswith(p + "/") for other in files)]
    return [Entry(path, 0o600, files[path]) for path in sorted(kept, key=lambda p: p.encode())]


@settings(deadline=None)
@given(st.dictionaries(paths, contents, max_size=12))
def test_what_is_packed_comes_out_again(files: dict[str, bytes]) -> None:
    entries = without_collisions(files)

    assert list(unpack(packed(*entries))) == entries


@settings(deadline=None)
@given(st.dictionaries(paths, contents, max_size=12))
def test_the_standard_library_reads_the_same_files(files: dict[str, bytes]) -> None:
    entries = without_collisions(files)

    with tarfile.open(fileobj=io.BytesIO(packed(*entries))) as tar:
        seen = {m.name: tar.extractfile(m) for m in tar.getmembers() if m.isfile()}
        read = {name: stream.read() for name, stream in seen.items() if stream}

    assert read == {entry.path: entry.content for entry in entries}


def test_the_same_files_give_the_same_bytes() -> None:
    entries = (Entry("a/b.yaml", 0o644, b"x: 1\n"), Entry("run.sh", 0o755, b"#!/bin/sh\n"))

    assert packed(*entries) == packed(*entries)


def test_members_carry_no_owner_no_time_and_flux_modes() -> None:
    archive = packed(Entry("a/b.yaml", 0o644, b""), Entry("run.sh", 0o775, b""))

    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = tar.getmembers()

    assert [(m.name, m.mode) for m in members] == [
        ("a", 0o750),
        ("a/b.yaml", 0o600),
        ("run.sh", 0o700),
    ]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}


def test_gnu_tar_reads_a_name_too_long_for_ustar(tmp_path: Path) -> None:
    name = "/".join(["d" * 120, "e" * 200, "f" * 150])
    (tmp_path / "a.tgz").write_bytes(packed(Entry(name, 0o600, b"deep")))

    listed = subprocess.run(["tar", "tzf", tmp_path / "a.tgz"], capture_output=True, check=True)

    assert name in listed.stdout.decode().splitlines()


def test_entries_out_of_order_are_refused() -> None:
    with pytest.raises(ArchiveError, match="ascending order"):
        packed(Entry("b", 0o600, b""), Entry("a", 0o600, b""))


def test_a_path_that_comes_twice_is_refused() -> None:
    with pytest.raises(ArchiveError, match="comes twice"):
        packed(Entry("a", 0o600, b"1"), Entry("a", 0o600, b"2"))


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", "a//b", "", ".", "a/", "a\0b", "x" * 256])
def test_a_path_that_leads_out_is_not_packed(path: str) -> None:
    with pytest.raises(ArchiveError, match="not a path inside"):
        packed(Entry(path, 0o600, b""))


def test_a_repository_larger_than_the_limit_is_refused() -> None:
    limits = Limits(total=10, file=10, entries=10)

    with pytest.raises(ArchiveError, match="together"):
        packed(Entry("a", 0o600, bytes(6)), Entry("b", 0o600, bytes(6)), limits=limits)


def test_a_name_that_is_not_utf8_is_packed_as_it_is() -> None:
    raw = b"caf\xe9.txt"

    archive = packed(Entry(raw.decode("utf-8", "surrogateescape"), 0o600, b"x"))

    assert raw in gzip.decompress(archive)
    assert list(unpack(archive)) == []


def test_a_stream_is_packed_as_a_file_of_its_size() -> None:
    into = io.BytesIO()
    packer = Packer(into)
    content = bytes(range(256)) * 3000

    packer.add_stream("deep/big", len(content), io.BytesIO(content))
    packer.add_stream("empty", 0, io.BytesIO())
    packer.finish()

    files = {entry.path: entry.content for entry in unpack(into.getvalue())}
    assert files == {"deep/big": content, "empty": b""}


@pytest.mark.parametrize("announced", [2, 4])
def test_a_stream_of_another_size_than_announced_is_refused(announced: int) -> None:
    with pytest.raises(ArchiveError, match="does not have the"):
        Packer(io.BytesIO()).add_stream("x", announced, io.BytesIO(b"abc"))


def test_a_stream_beyond_the_limits_is_refused_unread() -> None:
    packer = Packer(io.BytesIO(), Limits(total=10, file=5, entries=9))
    unread = io.BytesIO(b"123456")

    with pytest.raises(ArchiveError, match="larger than"):
        packer.add_stream("x", 6, unread)

    assert unread.tell() == 0
