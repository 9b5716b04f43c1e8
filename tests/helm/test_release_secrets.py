"""Releases are stored as Helm stores them, and read with suspicion."""

import base64
import gzip
import random
import zlib
from typing import Any

import orjson
import pytest

from services.helm.release_secret import (
    STORED_LIMIT,
    UNPACKED_LIMIT,
    BrokenReleaseError,
    ReleaseTooLargeError,
    pack,
    unpack,
)
from tests.support.helm_releases import a_stored_release

BODY = a_stored_release(2, "deployed", config={"a": 1.5, "b": None}, future={"field": [1, "ü<"]})


def stored(secret: dict[str, Any]) -> dict[str, Any]:
    secret["metadata"]["resourceVersion"] = "7"
    return secret


def test_a_release_comes_out_as_it_went_in() -> None:
    release = unpack(stored(pack(BODY, "helm", {"team": "a", "createdAt": "1"})))

    assert release.body == BODY
    assert (release.version, release.status) == (2, "deployed")
    assert release.labels == {"team": "a"}
    assert release.resource_version == "7"


def test_helm_finds_it_by_name_labels_and_type() -> None:
    secret = pack(BODY, "helm", {})

    assert secret["type"] == "helm.sh/release.v1"
    assert secret["metadata"]["name"] == "sh.helm.release.v1.shop.v2"
    assert secret["metadata"]["namespace"] == "helm"
    assert secret["metadata"]["labels"] == {
        "name": "shop",
        "owner": "helm",
        "status": "deployed",
        "version": "2",
    }


def test_the_same_release_is_the_same_bytes() -> None:
    assert pack(BODY, "helm", {}) == pack(BODY, "helm", {})


def a_secret(content: bytes) -> dict[str, Any]:
    data = base64.b64encode(base64.b64encode(content)).decode()
    return {
        "metadata": {"name": "r", "namespace": "n", "resourceVersion": "1"},
        "data": {"release": data},
    }


def test_a_release_from_before_helm_compressed_is_read() -> None:
    assert unpack(a_secret(orjson.dumps(BODY))).body == BODY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b"[" * 100_000,
        orjson.dumps({"version": 1, "info": "x"}),
        orjson.dumps({**BODY, "version": 0}),
        orjson.dumps({**BODY, "manifest": 1}),
        orjson.dumps({**BODY, "chart": {"metadata": None}}),
        orjson.dumps({**BODY, "chart": {"metadata": {"name": "shop"}}}),
        orjson.dumps({**BODY, "info": {**BODY["info"], "last_deployed": "yesterday"}}),
        orjson.dumps({**BODY, "info": {"status": "deployed"}}),
        gzip.compress(orjson.dumps(BODY))[:-20],
        b"\x1f\x8b\x08" + b"junk" * 9,
    ],
)
def test_what_is_no_release_is_reported_with_its_name(content: bytes) -> None:
    with pytest.raises(BrokenReleaseError, match="Secret n/r holds no readable Helm release"):
        unpack(a_secret(content))


def test_a_secret_without_data_is_reported() -> None:
    with pytest.raises(BrokenReleaseError):
        unpack({"metadata": {"name": "r", "namespace": "n", "resourceVersion": "1"}})


def test_a_bomb_does_not_go_off() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    zeros = bytes(2**20)
    bomb = b"".join(packer.compress(zeros) for _ in range(UNPACKED_LIMIT // 2**20 + 1))

    with pytest.raises(BrokenReleaseError):
        unpack(a_secret(bomb + packer.flush()))


def test_a_record_that_kubernetes_would_not_store_is_refused_with_a_remedy() -> None:
    noise = random.Random(1).randbytes(STORED_LIMIT).hex()

    with pytest.raises(ReleaseTooLargeError, match=r"shop\.v2 needs .* smaller"):
        pack({**BODY, "manifest": noise}, "helm", {})
