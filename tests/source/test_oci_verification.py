"""OCIRepository with `spec.verify`: signatures in a real registry, and what its status says."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.cluster.objects import Manifest
from tests.support.eventually import eventually
from tests.support.gate import Gate
from tests.support.registry import Layer, RegistryServer, a_layer, running_registry
from tests.support.signed_artifacts import simple_payload
from tests.support.source_service import SourceService, condition

KIND = "OCIRepository"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
BY_KEY = {"provider": "cosign", "secretRef": {"name": "keys"}}
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"


@pytest.fixture(scope="module")
async def registry(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RegistryServer]:
    async with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


async def sign(registry: RegistryServer, repository: str, digest: str) -> None:
    payload = simple_payload(digest)
    signature = base64.b64encode(KEY.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
    layer = Layer(payload, SIMPLE, {"dev.cosignproject.cosign/signature": signature})
    await registry.push(repository, f"{digest.replace(':', '-')}.sig", [layer])


async def apply(service: SourceService, url: str, **spec: Any) -> None:
    await service.secret("keys", **{"cosign.pub": PUBLIC})
    await service.apply(KIND, "app", url=url, insecure=True, **spec)


def verified(stored: Manifest) -> tuple[str, str, str]:
    found = condition(stored, "SourceVerified")
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


async def test_a_signed_artifact_is_verified_and_only_once(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    digest = await registry.push("signed/app", "1.0.0", [a_layer(tmp_path, {"a": "1"})])
    await sign(registry, "signed/app", digest)
    async with Gate.before(f"http://{registry.host}") as between:
        url = f"oci://{between.url.removeprefix('http://')}/signed/app"
        await apply(service, url, ref={"tag": "1.0.0"}, verify=BY_KEY, interval="200ms")

        stored = await service.ready(KIND, "app", f"1.0.0@{digest}")

        message = f"verified signature of revision 1.0.0@{digest}"
        assert verified(stored) == ("True", "Succeeded", message)
        await eventually(lambda: between.count("HEAD"), lambda count: count >= 3)
        between.seen.clear()
        await eventually(lambda: between.count("HEAD"), lambda count: count >= 3)
        assert set(between.seen) == {"HEAD /v2/signed/app/manifests/1.0.0"}

    await apply(service, registry.url("signed/app"), ref={"tag": "1.0.0"})
    assert verified(await service.ready(KIND, "app")) == ("", "", "")


async def test_an_artifact_without_a_signature_is_not_stored(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    await registry.push("unsigned/app", "latest", [a_layer(tmp_path, {"a": "1"})])
    await apply(service, registry.url("unsigned/app"), verify=BY_KEY)

    stored = await service.not_ready(KIND, "app", "VerificationError")

    status, reason, message = verified(stored)
    assert (status, reason) == ("False", "VerificationError")
    assert "provider 'cosign'" in message
    assert "has no signature" in message
    assert condition(stored, "FetchFailed") == {}
    assert "artifact" not in stored["status"]
    assert not (service.storage / "ocirepository").exists()


async def test_a_tag_that_moves_to_what_is_not_signed_leaves_the_old_artifact(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    digest = await registry.push("moves/app", "latest", [a_layer(tmp_path, {"a": "1"})])
    await sign(registry, "moves/app", digest)
    await apply(service, registry.url("moves/app"), verify=BY_KEY)
    await service.ready(KIND, "app")

    later = await registry.push("moves/app", "latest", [a_layer(tmp_path, {"a": "2"})])
    stored = await service.request(KIND, "app", "again")

    assert verified(stored)[0] == "False"
    assert condition(stored, "Ready")["reason"] == "VerificationError"
    assert condition(stored, "ArtifactOutdated")["reason"] == "NewRevision"
    assert stored["status"]["artifact"]["revision"] == f"latest@{digest}"
    assert await service.files(stored) == {"a": b"1"}

    await sign(registry, "moves/app", later)
    stored = await service.ready(KIND, "app", f"latest@{later}")
    assert verified(stored)[2] == f"verified signature of revision latest@{later}"


async def test_a_signature_of_a_stranger_does_not_count(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    digest = await registry.push("stranger/app", "latest", [a_layer(tmp_path, {"a": "1"})])
    await sign(registry, "stranger/app", digest)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    other = stranger.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    await service.secret("keys", **{"cosign.pub": other})
    url = registry.url("stranger/app")

    await service.apply(KIND, "app", url=url, insecure=True, verify=BY_KEY)
    stored = await service.not_ready(KIND, "app", "VerificationError")
    assert "artifact" not in stored["status"]

    await service.secret("keys", **{"cosign.pub": PUBLIC})
    assert verified(await service.request(KIND, "app", "again"))[0] == "True"


async def test_a_new_spec_is_verified_again(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    digest = await registry.push("later/app", "latest", [a_layer(tmp_path, {"a": "1"})])
    await sign(registry, "later/app", digest)
    url = registry.url("later/app")
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    other = stranger.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    await service.secret("others", **{"cosign.pub": other})
    await apply(service, url)
    await service.ready(KIND, "app")

    await apply(service, url, verify=BY_KEY)
    assert verified(await service.ready(KIND, "app"))[0] == "True"
    await apply(service, url, verify={**BY_KEY, "secretRef": {"name": "others"}})

    stored = await service.not_ready(KIND, "app", "VerificationError")
    assert stored["status"]["artifact"]["revision"] == f"latest@{digest}"
