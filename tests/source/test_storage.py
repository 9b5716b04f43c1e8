import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import BinaryIO

import pytest

from services.source import verified
from services.source.artifact_folder import Retention, stored_index
from services.source.endings import StorageFailed
from services.source.generator.built_files import BuiltFiles
from services.source.generator.external_artifacts import storage_owner
from services.source.storage import Integrity, Owner, Storage, advertised_address, storage_of
from shared.archive import Entry, Packed, pack
from shared.artifact_file import ArtifactFile
from shared.digests import ALGORITHMS, digest_of, file_digest
from shared.resources.meta import Artifact, NamespacedName
from shared.settings import Address, SettingError, load

SHOP = Owner("gitrepository", "team", "shop")
NOW = datetime.now(UTC)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path, "source-controller.flux-system.svc.cluster.local.")


async def stored(storage: Storage, name: str, content: bytes = b"x", age: int = 0) -> Path:
    await storage.write_bytes(SHOP, name, content)
    path = storage.folder.joinpath(*SHOP, name)
    moment = (NOW - timedelta(seconds=age)).timestamp()
    os.utime(path, (moment, moment))
    return path


def artifact(path: str, digest: str) -> Artifact:
    return Artifact(digest=digest, path=path, url="", revision="r", last_update_time="t")


async def test_path_url_and_digest_are_as_flux_has_them(storage: Storage) -> None:
    file = await storage.write_bytes(SHOP, "abc.tar.gz", b"content")

    told = storage.artifact(file, "main@sha1:abc")

    assert told["path"] == "gitrepository/team/shop/abc.tar.gz"
    host = "http://source-controller.flux-system.svc.cluster.local."
    assert told["url"] == f"{host}/gitrepository/team/shop/abc.tar.gz"
    assert told["size"] == 7
    assert told["digest"].startswith("sha256:ed7002b4")


async def test_files_are_readable_by_us_alone(storage: Storage) -> None:
    path = await stored(storage, "a.tar.gz")

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(
    storage: Storage,
) -> None:
    path = await stored(storage, "a.tar.gz", b"good")

    async def fails(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageFailed, match="No space left on device"):
        await storage.write(SHOP, "a.tar.gz", fails)

    assert {p.name for p in path.parent.iterdir()} == {"a.tar.gz", ".about-a.tar.gz"}
    assert path.read_bytes() == b"good"


async def test_what_the_status_claims_is_checked(storage: Storage) -> None:
    file = await storage.write_bytes(SHOP, "a.tar.gz", b"good")
    path = storage.folder / file.path

    assert await storage.check(SHOP, artifact(file.path, file.digest)) is Integrity.GOOD
    path.write_bytes(b"gook")
    assert await storage.check(SHOP, artifact(file.path, file.digest)) is Integrity.CORRUPT
    assert not path.exists()
    assert await storage.check(SHOP, artifact(file.path, file.digest)) is Integrity.MISSING


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "gitrepository/other/shop/a.tar.gz",
        "gitrepository/team/shop/../other/a",
        "gitrepository/team/shop/..",
        "/etc/passwd",
        "",
    ],
)
async def test_a_status_that_names_a_file_of_others_is_not_believed(
    storage: Storage, path: str
) -> None:
    assert storage.locate(SHOP, path) is None
    assert await storage.check(SHOP, artifact(path, "sha256:0")) is Integrity.MISSING


async def test_expired_and_surplus_artifacts_go_and_the_current_one_stays(
    tmp_path: Path,
) -> None:
    storage = Storage(tmp_path, "x", now=lambda: NOW)
    current = await stored(storage, "current", age=9999)
    expired = await stored(storage, "expired", age=61)
    older = await stored(storage, "older", age=20)
    newer = await stored(storage, "newer", age=10)
    (current.parent / ".partial-dead").write_text("half")
    (current.parent / "expired.lock").write_text("")
    (current.parent / "latest.tar.gz").symlink_to("current")
    (current.parent / "dangling.tar.gz").symlink_to("none")

    removed = await storage.collect(SHOP, keep="gitrepository/team/shop/current")

    assert sorted(removed) == ["expired", "older"]
    assert not expired.exists()
    assert not older.exists()
    names = {path.name.removeprefix(".about-") for path in current.parent.iterdir()}
    assert names == {"current", newer.name, "latest.tar.gz"}


async def test_no_more_is_looked_at_than_a_thousand_entries(tmp_path: Path) -> None:
    storage = Storage(tmp_path, "x", now=lambda: NOW, retention=Retention(timedelta(0), 1))
    folder = (await stored(storage, "current")).parent
    for number in range(1500):
        (folder / f"{number}").touch()

    rounds = [len(await storage.collect(SHOP, "gitrepository/team/shop/current")) for _ in range(3)]

    assert rounds[0] <= 1000
    assert sum(rounds) == 1500
    assert (folder / "current").exists()


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(timedelta(seconds=60), 2), {"current", "10s"}),
        (Retention(timedelta(seconds=60), 4), {"current", "10s", "20s", "59s"}),
        (Retention(timedelta(seconds=15), 9), {"current", "10s"}),
        (Retention(timedelta(hours=1), 3), {"current", "10s", "20s"}),
        (Retention(timedelta(hours=1), 1), {"current"}),
    ],
)
async def test_how_long_and_how_many_can_be_chosen(
    tmp_path: Path, retention: Retention, left: set[str]
) -> None:
    storage = Storage(tmp_path, "x", now=lambda: NOW, retention=retention)
    for age in (10, 20, 59, 61):
        path = await stored(storage, f"{age}s", age=age)
    await stored(storage, "current", age=5000)

    await storage.collect(SHOP, keep="gitrepository/team/shop/current")

    assert {each.name for each in path.parent.glob("[!.]*")} == left


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_digest_of_flux_can_be_chosen(tmp_path: Path, algorithm: str) -> None:
    storage = Storage(tmp_path, "x", algorithm=algorithm)

    file = await storage.write_bytes(SHOP, "a.tar.gz", b"good")

    assert file.digest == digest_of(b"good", algorithm)
    assert file.digest.startswith(f"{algorithm}:")
    assert await fresh(storage).check(SHOP, artifact(file.path, file.digest)) is Integrity.GOOD


async def test_what_was_stored_under_another_digest_stays_good(tmp_path: Path) -> None:
    file = await Storage(tmp_path, "x").write_bytes(SHOP, "a.tar.gz", b"good")
    storage = Storage(tmp_path, "x", algorithm="blake3")

    assert await storage.check(SHOP, artifact(file.path, file.digest)) is Integrity.GOOD


def fresh(storage: Storage) -> Storage:
    """As after a restart."""
    return Storage(storage.folder, "x")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file that is read to be hashed."""
    seen: list[str] = []

    def counted(file: BinaryIO, algorithm: str) -> str:
        seen.append(Path(file.name).name)
        return file_digest(file, algorithm)

    monkeypatch.setattr(verified, "file_digest", counted)
    return seen


async def test_a_file_is_read_again_only_when_it_is_another_or_it_is_time(
    tmp_path: Path, hashed: list[str]
) -> None:
    time = [NOW]
    storage = Storage(tmp_path, "x", now=lambda: time[0])
    file = await storage.write_bytes(SHOP, "a.tar.gz", b"good")
    path, told = storage.folder / file.path, artifact(file.path, file.digest)

    async def check() -> tuple[Integrity, int]:
        return await storage.check(SHOP, told), len(hashed)

    assert await check() == (Integrity.GOOD, 0)
    os.utime(path)
    assert await check() == (Integrity.GOOD, 1)
    assert await check() == (Integrity.GOOD, 1)
    time[0] += verified.AGAIN_WITHIN
    assert await check() == (Integrity.GOOD, 2)
    time[0] += verified.AGAIN_WITHIN / 2 - timedelta(seconds=1)
    assert await check() == (Integrity.GOOD, 2)
    assert await fresh(storage).check(SHOP, told) is Integrity.GOOD
    assert len(hashed) == 3


def take_for_verified(storage: Storage, path: Path, digest: str) -> None:
    """As if the disk gave other bytes for the same inode, at the same times."""
    with path.open("rb") as file:
        storage._verified.written(file, path, digest)


async def test_bytes_that_change_without_a_trace_are_found_in_ten_minutes(
    tmp_path: Path,
) -> None:
    time = [NOW]
    storage = Storage(tmp_path, "x", now=lambda: time[0])
    file = await storage.write_bytes(SHOP, "a.tar.gz", b"good")
    told = artifact(file.path, "sha256:" + "0" * 64)
    path = tmp_path / file.path
    take_for_verified(storage, path, told.digest)

    assert await storage.check(SHOP, told) is Integrity.GOOD
    time[0] += verified.AGAIN_WITHIN
    assert await storage.check(SHOP, told) is Integrity.CORRUPT


class MemoryBackup:
    """Gives the same content to everybody."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def copy(self, artifact: Artifact, into: ArtifactFile) -> None:
        into.write(self.content)


async def test_what_a_generator_made_comes_back_too(storage: Storage) -> None:
    key = NamespacedName("team", "shop")
    file = await storage.write_bytes(storage_owner(key), "1.tar.gz", b"good")
    built = BuiltFiles(storage)
    shutil.rmtree(storage.folder / "externalartifact")

    storage.backup = MemoryBackup(b"evil")
    assert not await built.is_whole(key, file)
    storage.backup = MemoryBackup(b"good")
    assert await built.is_whole(key, file)
    assert await built.is_whole(key, file)
    assert (storage.folder / file.path).exists()


async def test_the_path_index_outlives_a_restart_and_goes_with_its_artifact(
    storage: Storage,
) -> None:
    async def fill(file: ArtifactFile) -> Packed:
        return pack([Entry("a/b.yaml", 0o644, b"b"), Entry("c", 0o644, b"c")], file)

    packed = await storage.write(SHOP, "a.tar.gz", fill)
    told = artifact("gitrepository/team/shop/a.tar.gz", packed.digest)
    path = storage.folder / told.path

    index = stored_index(path)

    assert index == (
        f'{{"paths":{{"a/b.yaml":"{digest_of(b"b")}","c":"{digest_of(b"c")}"}}}}'.encode()
    )
    assert storage.path_index(told) == fresh(storage).path_index(told) == digest_of(index)
    assert storage.path_index(artifact(told.path, digest_of(b"other"))) == ""
    os.utime(path, (0, 0))
    await storage.collect(SHOP, keep="")
    assert list(path.parent.iterdir()) == []


async def earlier_of(storage: Storage) -> str | None:
    """What the next writer may copy from."""

    async def fill(file: ArtifactFile) -> str | None:
        return file.earlier.name if file.earlier else None

    return await storage.write(SHOP, "next", fill)


async def test_a_writer_may_copy_from_the_last_artifact_if_it_is_whole(storage: Storage) -> None:
    assert await earlier_of(storage) is None
    path = await stored(storage, "a.tar.gz", b"good")
    os.utime(path, (time() + 60,) * 2)
    assert await earlier_of(storage) == "a.tar.gz"

    path.write_bytes(b"evil")
    os.utime(path, (time() + 120,) * 2)
    assert await earlier_of(storage) is None


async def test_a_file_that_nobody_of_us_stored_is_not_copied_from(storage: Storage) -> None:
    path = await stored(storage, "a.tar.gz", b"good")
    planted = path.with_name("b.tar.gz")
    planted.write_bytes(b"evil")
    os.utime(planted, (time() + 60,) * 2)

    assert await earlier_of(storage) is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ARTIFACT_DIGEST_ALGO", "md5"),
        ("ARTIFACT_RETENTION_TTL", "a while"),
        ("ARTIFACT_RETENTION_RECORDS", "0"),
        ("ARTIFACT_STORE_MEBIBYTES", "-1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"{variable}='{value}'"):
        load({variable: value})


def test_the_settings_of_the_storage() -> None:
    settings = load({"ARTIFACT_RETENTION_TTL": "1h30m", "ARTIFACT_DIGEST_ALGO": "blake3"})

    assert settings.artifact_retention_ttl == timedelta(minutes=90)
    assert settings.artifact_digest_algo == "blake3"
    assert storage_of(settings).folder == Path("/data")


def test_a_digest_that_this_machine_cannot_make_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)

    with pytest.raises(SettingError, match="ARTIFACT_DIGEST_ALGO: blake3 is not installed here"):
        storage_of(load({"ARTIFACT_DIGEST_ALGO": "blake3"}))


async def test_the_fixed_name_follows_the_latest_file(storage: Storage) -> None:
    await stored(storage, "one", b"1")
    await stored(storage, "two", b"2")

    await storage.point(SHOP, "latest.tar.gz", "one")
    url = await storage.point(SHOP, "latest.tar.gz", "two")

    assert url.endswith("/gitrepository/team/shop/latest.tar.gz")
    assert (storage.folder.joinpath(*SHOP) / "latest.tar.gz").read_bytes() == b"2"


@pytest.mark.parametrize(
    ("chosen", "listening", "advertised"),
    [
        ("source.example.", Address("", 9090), "source.example."),
        ("", Address("", 9090), "localhost:9090"),
        ("", Address("127.0.0.1", 9090), "127.0.0.1:9090"),
        ("", Address("0.0.0.0", 9090), "the-pod:9090"),
    ],
)
def test_the_address_in_urls(
    monkeypatch: pytest.MonkeyPatch, chosen: str, listening: Address, advertised: str
) -> None:
    monkeypatch.setenv("HOSTNAME", "the-pod")

    assert advertised_address(chosen, listening) == advertised
