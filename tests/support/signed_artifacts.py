"""A repository of a registry, in memory, with signatures in it; and those recorded from real tools.

The files in tests/source/data/signatures say in README.md how they were made.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

from services.source.verification.candidates import Layer
from services.source.verification.interface import Described, SignedArtifact

RECORDED = Path(__file__).parent.parent / "source" / "data" / "signatures"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SIGNING = "https://sigstore.dev/cosign/sign/v1"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def an_artifact(content: bytes = b'{"schemaVersion": 2}') -> SignedArtifact:
    """`content` is its manifest."""
    return SignedArtifact(
        "registry.example/team/app", digest_of(content), OCI_MANIFEST, len(content)
    )


def simple_payload(digest: str, kind: str = "cosign container image signature") -> bytes:
    identity = {"docker-reference": "registry.example/team/app"}
    image = {"docker-manifest-digest": digest}
    critical = {"identity": identity, "image": image, "type": kind}
    return json.dumps({"critical": critical, "optional": None}).encode()


def statement(
    digest: str, predicate: str = SIGNING, kind: str = "https://in-toto.io/Statement/v1"
) -> bytes:
    subject = [{"digest": {"sha256": digest.removeprefix("sha256:")}}]
    told = {"_type": kind, "subject": subject, "predicateType": predicate, "predicate": {}}
    return json.dumps(told).encode()


@dataclass
class MemoryRepository:
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    referring: list[Layer] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def manifest(self, reference: str) -> bytes | None:
        self.asked.append(reference)
        return self.manifests.get(reference)

    async def blob(self, blob: Described, limit: int) -> bytes | None:
        self.asked.append(blob.digest)
        content = self.blobs.get(blob.digest)
        assert content is None or len(content) <= limit
        return content

    async def referrers(self, digest: str) -> Sequence[Described]:
        self.asked.append(f"referrers of {digest}")
        return self.referring

    def add_blob(self, content: bytes, media_type: str = "", **told: Any) -> dict[str, Any]:
        """Its descriptor."""
        digest = digest_of(content)
        self.blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content), **told}

    def add_referrer(self, artifact: SignedArtifact, kind: str, *layers: Mapping[str, Any]) -> str:
        """A manifest whose subject is the artifact."""
        subject = {"mediaType": OCI_MANIFEST, "digest": artifact.digest, "size": artifact.size}
        manifest = json.dumps({"layers": layers, "subject": subject, "artifactType": kind}).encode()
        digest = digest_of(manifest)
        self.manifests[digest] = manifest
        self.referring.append(Layer(digest=digest, size=len(manifest), artifact_type=kind))
        return digest

    def add_at_tag(self, artifact: SignedArtifact, *layers: Mapping[str, Any]) -> None:
        """As cosign's older layout keeps signatures."""
        self.manifests[f"sha256-{artifact.hex}.sig"] = json.dumps({"layers": layers}).encode()


@dataclass
class Recorded:
    """What a real registry held after a real tool had signed."""

    artifact: SignedArtifact
    registry: MemoryRepository
    secret: dict[str, bytes]

    @classmethod
    def load(cls, name: str) -> Self:
        document = json.loads((RECORDED / f"{name}.json").read_text())
        registry = MemoryRepository(
            {name: _bytes(told) for name, told in document["manifests"].items()},
            {digest: _bytes(told) for digest, told in document["blobs"].items()},
            msgspec.convert(document["referrers"], list[Layer]),
        )
        files = document.get("keys") or document.get("certificates")
        secret = {name: text.encode() for name, text in files.items()}
        return cls(SignedArtifact(**document["artifact"]), registry, secret)


def _bytes(told: str | dict[str, str]) -> bytes:
    return told.encode() if isinstance(told, str) else base64.b64decode(told["base64"])
