import hashlib
from typing import Any

import pytest

from shared.archive import MIB
from tests.support.eventually import eventually
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.support.source_service import SourceService, condition

KEYS = {"accesskey": ACCESS_KEY, "secretkey": SECRET_KEY}


async def a_bucket(service: SourceService, s3: S3Server, **spec: Any) -> None:
    """Named as the bucket is, with the server's own keys."""
    await service.secret("keys", **KEYS)
    given = {
        "bucketName": "shop",
        "endpoint": s3.address,
        "insecure": True,
        "secretRef": {"name": "keys"},
        **spec,
    }
    await service.apply("Bucket", "shop", **given)


def revision(etags: dict[str, str]) -> str:
    lines = "".join(f"{key} {etag}\n" for key, etag in sorted(etags.items()))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


async def test_objects_become_an_artifact(service: SourceService, s3: S3Server) -> None:
    await s3.bucket("shop", {"a.yaml": "a: 1", "deep/er/b.yaml": "b: 2", "empty/": ""})
    await a_bucket(service, s3)

    stored = await service.ready("Bucket", "shop")

    expected = await s3.etags("shop")
    del expected["empty/"]
    artifact = stored["status"]["artifact"]
    file_name = f"{revision(expected)[7:]}.tar.gz"
    assert await service.files(stored) == {"a.yaml": b"a: 1", "deep/er/b.yaml": b"b: 2"}
    assert artifact["revision"] == revision(expected)
    assert artifact["path"] == f"bucket/{service.namespace}/shop/{file_name}"
    assert stored["status"]["url"] == artifact["url"].replace(file_name, "latest.tar.gz")
    message = f"stored artifact: revision '{artifact['revision']}'"
    assert condition(stored, "ArtifactInStorage")["message"] == message
    assert condition(stored, "Ready")["message"] == message
    (told,) = service.told
    assert (told.reason, told.message) == (
        "NewArtifact",
        "stored artifact with 2 fetched files from 'shop' bucket",
    )
    assert told.metadata == {k: artifact[k] for k in ("revision", "digest")}


async def test_a_bucket_in_which_nothing_changed_costs_its_listing(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket("shop", {"a.yaml": "a", "b.yaml": "b", ".sourceignore": "b.yaml\n"})
    await a_bucket(service, s3, interval="200ms")
    await service.ready("Bucket", "shop")
    service.gate.seen.clear()
    s3.forget()

    requests = await eventually(lambda: s3.requests, lambda seen: len(seen) >= 4)

    assert set(requests) == {"ListObjectsV2"}
    assert service.requests() == []
    assert len(service.told) == 1


async def test_what_changes_in_the_bucket_changes_the_artifact(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket("shop", {"kept": "1", "changed": "1", "removed": "1"})
    await a_bucket(service, s3)
    first = await service.ready("Bucket", "shop")

    await s3.put("shop", {"changed": "2", "added": "2"})
    await s3.remove("shop", "removed")
    second = await service.request("Bucket", "shop", "now")

    assert await service.files(second) == {"kept": b"1", "changed": b"2", "added": b"2"}
    assert second["status"]["artifact"]["digest"] != first["status"]["artifact"]["digest"]
    assert [told.reason for told in service.told] == ["NewArtifact"] * 2


async def test_the_same_objects_are_the_same_bytes(service: SourceService, s3: S3Server) -> None:
    objects = {f"{number}.yaml": f"n: {number}" for number in range(70)}
    await s3.bucket("shop", objects)
    await a_bucket(service, s3)
    first = await service.ready("Bucket", "shop")

    await service.delete("Bucket", "shop")
    await a_bucket(service, s3)
    second = await service.ready("Bucket", "shop")

    assert second["status"]["artifact"]["digest"] == first["status"]["artifact"]["digest"]


async def test_a_prefix_and_ignore_rules_choose_objects(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket(
        "shop",
        {
            ".sourceignore": "*.txt\n",
            "app/.gitignore": "x",
            "app/a.yaml": "a",
            "app/b.png": "b",
            "app/notes.txt": "n",
            "app/secret/c.yaml": "c",
            "other/d.yaml": "d",
        },
    )
    await a_bucket(service, s3, prefix="app/", ignore="secret/\n")

    stored = await service.ready("Bucket", "shop")

    assert set(await service.files(stored)) == {"app/.gitignore", "app/a.yaml", "app/b.png"}
    assert stored["status"]["observedIgnore"] == "secret/\n"


async def test_new_ignore_rules_in_the_bucket_count_at_once(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket("shop", {"a.yaml": "a", "b.yaml": "b"})
    await a_bucket(service, s3)
    await service.ready("Bucket", "shop")

    await s3.put("shop", {".sourceignore": "b.yaml"})
    left_out = await service.request("Bucket", "shop", "1")
    await s3.put("shop", {".sourceignore": "a.yaml"})
    replaced = await service.request("Bucket", "shop", "2")
    await s3.remove("shop", ".sourceignore")
    gone = await service.request("Bucket", "shop", "3")

    assert set(await service.files(left_out)) == {"a.yaml"}
    assert set(await service.files(replaced)) == {"b.yaml"}
    assert set(await service.files(gone)) == {"a.yaml", "b.yaml"}


async def test_a_bucket_of_more_than_one_page_is_whole(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket("shop")
    keys = [f"{number:04}.yaml" for number in range(1100)]
    s3.fill("shop", keys)
    await a_bucket(service, s3)

    stored = await service.ready("Bucket", "shop")

    assert await service.files(stored) == {key: key.encode() for key in keys}
    assert s3.requests.count("ListObjectsV2") == 2


@pytest.mark.parametrize(
    ("keys", "bucket", "reason", "said"),
    [
        ({"secretkey": "wrong-canary"}, "shop", "AuthenticationFailed", "SignatureDoesNotMatch"),
        ({"accesskey": "nobody"}, "shop", "AuthenticationFailed", "No user exists"),
        ({"secretkey": ""}, "shop", "AuthenticationFailed", "no secretkey"),
        ({}, "missing", "BucketOperationFailed", "bucket 'missing' not found"),
        ({}, "No Name!", "BucketOperationFailed", "Invalid bucket name"),
    ],
)
async def test_what_the_server_refuses_is_told(
    service: SourceService,
    s3: S3Server,
    keys: dict[str, str],
    bucket: str,
    reason: str,
    said: str,
) -> None:
    await s3.bucket("shop", {"a": "a"})
    await a_bucket(service, s3, bucketName=bucket, secretRef={"name": "other"})
    await service.secret("other", **(KEYS | keys))

    failed = await service.until(
        "Bucket", "shop", lambda o: said in condition(o, "FetchFailed").get("message", "")
    )

    assert condition(failed, "FetchFailed")["reason"] == reason
    assert condition(failed, "Ready")["status"] == "False"
    assert "canary" not in str(failed["status"])


async def test_the_last_artifact_stays_while_the_bucket_is_away(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket("shop", {"a": "a"})
    await a_bucket(service, s3)
    good = await service.ready("Bucket", "shop")

    await service.secret("keys", accesskey=ACCESS_KEY, secretkey="changed")
    bad = await service.request("Bucket", "shop", "1")
    await service.secret("keys", **KEYS)
    again = await service.request("Bucket", "shop", "2")

    assert condition(bad, "Ready")["reason"] == "AuthenticationFailed"
    assert bad["status"]["artifact"] == good["status"]["artifact"]
    assert condition(again, "Ready")["status"] == "True"
    assert [t.reason for t in service.told] == ["NewArtifact", "AuthenticationFailed", "Succeeded"]


async def test_a_bucket_larger_than_an_artifact_is_refused_before_it_is_downloaded(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket("shop")
    s3.sparse("shop", "a.bin", 60 * MIB)
    s3.sparse("shop", "b.bin", 60 * MIB)
    s3.forget()
    await a_bucket(service, s3)

    failed = await service.not_ready("Bucket", "shop", "BucketOperationFailed")

    assert "at most 200000 files and 100 MiB" in condition(failed, "FetchFailed")["message"]
    assert "spec.ignore" in condition(failed, "FetchFailed")["message"]
    assert set(s3.requests) == {"ListObjectsV2", "GetObject"}
    assert s3.requests.count("GetObject") == s3.requests.count("ListObjectsV2")


async def test_keys_that_are_no_paths_are_refused(service: SourceService, s3: S3Server) -> None:
    await s3.bucket("shop", {"fine.yaml": "x"})
    s3.fill("shop", ["fine.yaml", "line\nbreak"])
    await a_bucket(service, s3)

    failed = await service.not_ready("Bucket", "shop", "BucketOperationFailed")
    await a_bucket(service, s3, ignore="line*\n")
    ready = await service.ready("Bucket", "shop")

    assert r"'line\nbreak'" in condition(failed, "FetchFailed")["message"]
    assert set(await service.files(ready)) == {"fine.yaml"}


async def test_rules_that_mend_a_bucket_are_seen_while_it_is_broken(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket("shop", {"fine.yaml": "x"})
    await a_bucket(service, s3)
    await service.ready("Bucket", "shop")
    s3.fill("shop", ["line\nbreak"])
    broken = await service.request("Bucket", "shop", "1")

    await s3.put("shop", {".sourceignore": "line*"})
    mended = await service.request("Bucket", "shop", "2")

    assert condition(broken, "Ready")["reason"] == "BucketOperationFailed"
    assert set(await service.files(mended)) == {"fine.yaml"}


async def test_a_deleted_bucket_leaves_nothing(service: SourceService, s3: S3Server) -> None:
    await s3.bucket("shop", {"a": "a"})
    await a_bucket(service, s3)
    await service.ready("Bucket", "shop")
    folder = service.storage / "bucket" / service.namespace / "shop"
    assert folder.exists()

    await service.delete("Bucket", "shop")

    assert not folder.exists()
