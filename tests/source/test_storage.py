import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from services.source.endings import StorageFailed
from services.source.storage import Integrity, Owner, Storage, advertised_address
from shared.resources.meta import Artifact
from shared.settings import Address

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

    removed = await storage.collect(SHOP, keep="gitrepository/team/shop/current")

    assert sorted(removed) == ["expired", "older"]
    assert not expired.exists()
    assert not older.exists()
    names = {path.name.removeprefix(".about-") for path in current.parent.iterdir()}
    assert names == {"current", newer.name, "latest.tar.gz"}


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
