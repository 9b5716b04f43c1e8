"""What a stranger packed cannot lead out of the archive, nor use more than it may."""

import gzip
import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.archive import ARTIFACT, ArchiveError, Entry, Limits, pack, unpack

SMALL = Limits(total=1000, file=600, entries=5)


def tarball(*members: tuple[str, bytes, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive by the standard library: (name, type, content or link target)."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w:gz", format=form) as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content.decode()
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return into.getvalue()


def a_file(name: str, content: bytes = b"x") -> tuple[str, bytes, bytes]:
    return (name, tarfile.REGTYPE, content)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_of_tar_is_read(form: int) -> None:
    long = "/".join(["d" * 90, "f" * 90])
    archive = tarball(a_file("./a.yaml"), a_file(long, bytes(1000)), form=form)

    assert [(e.path, len(e.content)) for e in unpack(archive)] == [("a.yaml", 1), (long, 1000)]


@pytest.mark.parametrize(
    "name",
    ["../escape", "/etc/passwd", "a/../../b", "a/./b", "x" * 300, "/".join("a" * 200), "."],
)
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(ArchiveError, match="not a path inside"):
        list(unpack(tarball(a_file(name))))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_do_not_come_through(kind: bytes) -> None:
    archive = tarball(("odd", kind, b"" if kind in b"346" else b"/etc/passwd"), a_file("good"))

    assert [entry.path for entry in unpack(archive)] == ["good"]
    with pytest.raises(ArchiveError, match="not a regular file"):
        list(unpack(archive, strict=True))


def test_a_small_archive_of_zeros_is_not_inflated_beyond_the_limit() -> None:
    bomb = tarball(a_file("bomb", bytes(5_000_000)))
    assert len(bomb) < 10_000

    with pytest.raises(ArchiveError, match="'bomb' is larger than"):
        list(unpack(bomb, SMALL))


def test_many_files_count_together() -> None:
    archive = tarball(*(a_file(f"f{n}", bytes(400)) for n in range(3)))

    with pytest.raises(ArchiveError, match="together"):
        list(unpack(archive, SMALL))


def test_directories_and_links_count_as_entries() -> None:
    archive = tarball(*((f"d{n}", tarfile.DIRTYPE, b"") for n in range(6)))

    with pytest.raises(ArchiveError, match="more than 5"):
        list(unpack(archive, SMALL))


def test_a_header_that_promises_terabytes_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 50

    with pytest.raises(ArchiveError, match="larger than"):
        list(unpack(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)), ARTIFACT))


def test_an_endless_pax_header_is_refused() -> None:
    info = tarfile.TarInfo("x")
    info.pax_headers = {"comment": "y" * 100_000}

    with pytest.raises(ArchiveError, match="extended header"):
        list(unpack(gzip.compress(info.tobuf(tarfile.PAX_FORMAT)), ARTIFACT))


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: gzip.compress(gzip.decompress(whole)[:1100]),
        lambda whole: b"not gzip at all",
        lambda whole: gzip.compress(b"not tar at all" * 100),
        lambda whole: b"",
    ],
    ids=["cut gzip", "cut tar", "no gzip", "no tar", "nothing"],
)
def test_a_broken_archive_is_an_error_that_says_so(damage: Callable[[bytes], bytes]) -> None:
    whole = tarball(a_file("a", bytes(range(256)) * 4), a_file("b", bytes(range(256))))

    with pytest.raises(ArchiveError):
        list(unpack(damage(whole)))


def test_a_header_whose_checksum_is_wrong_is_not_believed() -> None:
    tar = bytearray(gzip.decompress(tarball(a_file("a"))))
    tar[0:1] = b"b"

    with pytest.raises(ArchiveError, match="checksum"):
        list(unpack(gzip.compress(bytes(tar))))


@settings(deadline=None)
@given(st.data())
def test_no_damage_to_a_tar_gets_past_the_fence(data: st.DataObject) -> None:
    tar = bytearray(gzip.decompress(tarball(a_file("dir/a", b"abc"), a_file("n" * 150, b"d"))))
    for _ in range(data.draw(st.integers(1, 4))):
        tar[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))

    try:
        entries = list(unpack(gzip.compress(bytes(tar), compresslevel=1)))
    except ArchiveError:
        return

    assert all(is_harmless(entry) for entry in entries)


@settings(deadline=None)
@given(st.binary(max_size=600), st.sampled_from([b"0", b"x", b"L", b"g", b"2", b"5"]))
def test_no_content_of_an_extended_header_gets_past_the_fence(raw: bytes, kind: bytes) -> None:
    info = tarfile.TarInfo("innocent")
    info.type, info.size = kind, len(raw)
    victim = tarfile.TarInfo("victim").tobuf()
    tar = info.tobuf(tarfile.USTAR_FORMAT) + raw + bytes(-len(raw) % 512) + victim + bytes(1024)

    try:
        entries = list(unpack(gzip.compress(tar, compresslevel=1)))
    except ArchiveError:
        return

    assert all(is_harmless(entry) for entry in entries)


def is_harmless(entry: Entry) -> bool:
    parts = entry.path.split("/")
    return all(part not in ("", ".", "..") for part in parts) and "\0" not in entry.path


def test_unpacking_reads_no_more_memory_than_one_file_at_a_time() -> None:
    into = io.BytesIO()
    pack((Entry(f"{n:03}", 0o600, bytes(100_000)) for n in range(100)), into)

    first = next(unpack(into.getvalue()))

    assert first == Entry("000", 0o600, bytes(100_000))
