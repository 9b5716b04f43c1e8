"""Whatever bytes a stranger's archive has, it is unpacked harmlessly or refused in words."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from shared.archive import ArchiveError, Limits, unpack
from shared.tar_blocks import BLOCK
from tests.support.fuzzing import Campaign, Mutator, campaigns, texts
from tests.support.packing import entry

LIMITS = Limits(total=16 * 1024, file=8 * 1024, entries=20)
LINK: dict[str, Any] = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
HARD: dict[str, Any] = {"type": tarfile.LNKTYPE, "linkname": "a"}
SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.name": "x", "path": "GNUSparseFile.0/x"}
PARTS = (
    entry("a/b.yaml", "b: 1\n"),
    entry("./run.sh", "#!", mode=0o755),
    entry("a/" + "long/" * 30 + "x", "long"),
    entry("ünï/cödé", "text"),
    entry("link", **LINK),
    entry("hard", **HARD),
    entry("folder/", type=tarfile.DIRTYPE),
    entry("device", type=tarfile.CHRTYPE),
    entry("pax", "x", pax_headers={"path": "other", "size": "1"}),
    entry("sparse", "x", pax_headers=SPARSE),
    entry("old", "x", type=tarfile.AREGTYPE),
)
TOKENS = (
    *texts(["../", "/etc/passwd", "./", "a/../../b", "30 path=../../x\n", "20 size=-1\n"]),
    *texts(["26 size=99999999999999999\n", "12 path=/x\n", "9 path=\n", "ustar\x0000", "ustar  "]),
    *(kind.encode() for kind in "0123457xgLKSVMND"),
    b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    b"77777777777\0",
    bytes(BLOCK),
)


def tar_of(parts: Iterable[tuple[tarfile.TarInfo, bytes]], style: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=style) as archive:
        for info, content in parts:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue().rstrip(b"\0") + bytes(1024)


STYLES = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
TARS = tuple(tar_of([part], style) for part in PARTS for style in STYLES) + tuple(
    tar_of(PARTS[start : start + 3], style) for start in range(8) for style in STYLES
)


def summed(tar: bytes) -> bytes:
    """With the checksums that its headers must have, or nobody reads on."""
    mended = bytearray(tar)
    for start in range(0, len(tar) - BLOCK + 1, BLOCK):
        block = mended[start : start + BLOCK]
        if block[257:262] == b"ustar":
            total = sum(block[:148]) + 256 + sum(block[156:])
            mended[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(mended)


def unpacked(packed: bytes) -> None:
    for strict in (False, True):
        total, count, said = 0, 0, ""
        try:
            for path, mode, content in unpack(packed, LIMITS, strict=strict):
                total, count = total + len(content), count + 1
                assert not {"", ".", ".."} & set(path.split("/")), path
                assert "\0" not in path
                assert len(path.encode()) <= 4096
                assert len(content) <= LIMITS.file
                assert 0 <= mode <= 0o777
        except ArchiveError as error:
            said = str(error)
        assert said.isprintable(), said
        assert total <= LIMITS.total
        assert count <= LIMITS.entries


@campaigns
def test_a_tar_of_any_bytes_is_unpacked_within_its_bounds_or_refused(
    campaign: Campaign, say: Callable[[str], None]
) -> None:
    def target(tar: bytes) -> None:
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        unpacked(packer.compress(summed(tar)) + packer.flush())

    campaign.run(Mutator(TARS, TOKENS, longest=16 * BLOCK), target, say)


@campaigns
def test_any_bytes_in_place_of_a_gzip_file_are_unpacked_within_bounds_or_refused(
    campaign: Campaign, say: Callable[[str], None]
) -> None:
    packed = [gzip.compress(tar, mtime=0) for tar in TARS]
    bomb = gzip.compress(tar_of([entry("bomb", bytes(100_000))], tarfile.PAX_FORMAT), mtime=0)
    magic = (b"\x1f\x8b\x08\0", b"\x1f\x8b\x08\x1f", b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\xff\xff")

    campaign.run(Mutator([*packed, bomb, packed[0] * 2], magic), unpacked, say)
