"""Layers that are not what they should be, and what is left of them on our disk: nothing."""

import gzip
import io
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.source.endings import FetchFailed
from services.source.oci.address import Access, Repository
from services.source.oci.layers import MAX_LAYER, Layers
from services.source.oci.manifest import Descriptor
from services.source.oci.registry import Registry
from services.source.storage import Owner, Storage, StoredFile
from shared.web.client import WebClient
from tests.support.odd_registry import OddRegistry, odd_registry
from tests.support.packing import digest_of, entry, pack_entries

OWNER = Owner("ocirepository", "team-a", "app")


class Kitchen:
    """Extracts a layer as the reconciler does."""

    def __init__(self, web: WebClient, registry: OddRegistry, folder: Path) -> None:
        self.registry = registry
        self.storage = Storage(folder / "artifacts", "source.example")
        self.layers = Layers(Registry(web), self.storage, folder / "state")
        self.repository = Repository.parse(registry.url(), Access(insecure=True))

    async def extract(self, content: bytes, size: int | None = None) -> StoredFile:
        layer = self._served(content, size)
        return await self.layers.extract(self.repository, layer, OWNER, "x.tar.gz", None)

    async def copy(self, content: bytes, size: int | None = None) -> StoredFile:
        layer = self._served(content, size)
        return await self.layers.copy(self.repository, layer, OWNER, "x.tar.gz")

    def _served(self, content: bytes, size: int | None) -> Descriptor:
        digest = f"sha256:{digest_of(content)}"
        self.registry.blobs[digest] = content
        return Descriptor(digest=digest, size=len(content) if size is None else size)

    @property
    def files(self) -> list[str]:
        return [path.name for path in self.storage.folder.rglob("*") if path.is_file()]


@pytest.fixture
async def kitchen(tmp_path: Path) -> AsyncIterator[Kitchen]:
    async with WebClient.open() as web, odd_registry() as registry:
        yield Kitchen(web, registry, tmp_path)


def bomb() -> bytes:
    """Ten thousand times its size: one header that promises 200 MiB, and zeros."""
    header, _ = entry("bomb")
    header.size = 200 * 2**20
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb", compresslevel=9) as packed:
        packed.write(header.tobuf())
        for _ in range(200):
            packed.write(bytes(2**20))
    return buffer.getvalue()


def a_tgz(folder: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return pack_entries(folder, entries).read_bytes()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda _: bomb(), "larger than 100 MiB"),
        (lambda folder: a_tgz(folder, entry("../../etc/passwd", b"x")), "not a path inside"),
        (lambda folder: a_tgz(folder, entry("/etc/passwd", b"x")), "not a path inside"),
        (lambda folder: a_tgz(folder, entry("a", b"1"), entry("a/b", b"2")), "'a' is a file and"),
        (lambda folder: a_tgz(folder, entry("a", b"x"))[:-20], "not a complete gzip file"),
        (lambda _: gzip.compress(b"not a tar archive" * 100), "not a tar archive"),
        (lambda _: b"not even gzip", "not a complete gzip file"),
        (lambda _: b"", "not a complete gzip file|ends too early"),
        (lambda folder: a_tgz(folder, entry(".sourceignore", bytes(2**21))), "larger than 1048576"),
    ],
)
async def test_a_layer_that_could_harm_is_told_and_leaves_nothing(
    kitchen: Kitchen, tmp_path: Path, content: Callable[[Path], bytes], problem: str
) -> None:
    with pytest.raises(FetchFailed, match=problem) as caught:
        await kitchen.extract(content(tmp_path))

    assert caught.value.reason == "OCIArtifactLayerOperationFailed"
    assert kitchen.files == []


async def test_a_layer_of_other_bytes_leaves_nothing(kitchen: Kitchen) -> None:
    for take in (kitchen.extract, kitchen.copy):
        with pytest.raises(FetchFailed, match="came as 8 bytes") as caught:
            await take(b"8 bytes!", size=9)
        assert caught.value.reason == "OCIArtifactLayerOperationFailed"
    assert kitchen.files == []


async def test_a_layer_beyond_the_limit_is_not_asked_for(kitchen: Kitchen) -> None:
    for take in (kitchen.extract, kitchen.copy):
        with pytest.raises(FetchFailed, match=f"more than the {MAX_LAYER} allowed"):
            await take(b"x", size=MAX_LAYER + 1)

    assert not any("/blobs/" in line for line in kitchen.registry.seen)


async def test_of_two_files_with_one_name_the_second_counts(
    kitchen: Kitchen, tmp_path: Path
) -> None:
    twice = await kitchen.extract(a_tgz(tmp_path, entry("a", b"1"), entry("a", b"2")))
    once = await kitchen.extract(a_tgz(tmp_path, entry("a", b"2")))

    assert twice.digest == once.digest


async def test_the_same_files_make_the_same_artifact_in_whatever_order_they_came(
    kitchen: Kitchen, tmp_path: Path
) -> None:
    files = [entry("a/b", b"1", mtime=1), entry("a.txt", b"2", uid=7), entry("a/c/d", b"3")]

    first = await kitchen.extract(a_tgz(tmp_path, *files))
    second = await kitchen.extract(a_tgz(tmp_path, *reversed(files)))

    assert first.digest == second.digest


async def test_a_large_layer_is_extracted_by_way_of_a_file(
    kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.source.oci.layers.IN_MEMORY", 10)
    small = await kitchen.extract(a_tgz(tmp_path, entry("a", b"1" * 100), entry("b", b"2")))

    monkeypatch.undo()

    again = await kitchen.extract(a_tgz(tmp_path, entry("b", b"2"), entry("a", b"1" * 100)))
    assert small == again
