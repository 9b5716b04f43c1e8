"""The signatures that a registry has of one artifact; nothing here says that they are good.

Finding them costs a request or two, reading each one at most two more; all is counted. A signature
that cannot be read is `Rejected`: it must not keep a good one beside it from being found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.source.verification.interface import (
    MOST_REFERRERS,
    SIGNATURE_LIMIT,
    Described,
    RegistryReader,
    Rejected,
    SignedArtifact,
)
from services.source.verification.reading import Camel, decoded, require_digest

MOST_LAYERS = 256  # of a manifest of signatures


class Layer(Camel, frozen=True, kw_only=True):
    digest: str
    size: int
    media_type: str = ""
    artifact_type: str | None = None
    annotations: dict[str, str] | None = None

    def told(self, annotation: str) -> str:
        return (self.annotations or {}).get(annotation, "")


class SignatureManifest(Camel, frozen=True, kw_only=True):
    layers: tuple[Layer, ...] = ()
    subject: Layer | None = None


@dataclass(frozen=True)
class Candidates:
    artifact: SignedArtifact
    registry: RegistryReader

    async def at_tag(self) -> SignatureManifest | None:
        """What cosign keeps beside the artifact under a tag made from its digest."""
        content = await self.registry.manifest(f"sha256-{self.artifact.hex}.sig")
        return _manifest(content) if content is not None else None

    async def referring(self, is_signature: Callable[[str], bool]) -> Sequence[Described]:
        """Those whose artifact type says that they are signatures, in the registry's order."""
        all_of_them = (await self.registry.referrers(self.artifact.digest))[:MOST_REFERRERS]
        return [each for each in all_of_them if is_signature(each.artifact_type or "")]

    async def manifest_of(self, referrer: Described) -> SignatureManifest:
        content = await self.registry.manifest(referrer.digest)
        if content is None:
            raise Rejected(f"the signature's manifest {referrer.digest[:80]} is not there")
        manifest = _manifest(require_digest(content, referrer.digest, "the signature's manifest"))
        if manifest.subject is None or manifest.subject.digest != self.artifact.digest:
            raise Rejected("the signature's manifest names another artifact")
        return manifest

    async def signed_manifest(self) -> bytes:
        content = await self.registry.manifest(self.artifact.digest)
        if content is None:
            raise Rejected("the artifact's manifest is not there")
        return require_digest(content, self.artifact.digest, "the artifact's manifest")

    async def content_of(self, layer: Layer) -> bytes:
        if layer.size > SIGNATURE_LIMIT:
            raise Rejected(f"a signature of {layer.size} bytes; {SIGNATURE_LIMIT} are the limit")
        content = await self.registry.blob(layer, SIGNATURE_LIMIT)
        if content is None:
            raise Rejected(f"the signature's blob {layer.digest[:80]} is not there")
        return require_digest(content, layer.digest, "the signature's blob")


def _manifest(content: bytes) -> SignatureManifest:
    manifest = decoded(content, SignatureManifest, "the signature's manifest")
    if len(manifest.layers) > MOST_LAYERS:
        raise Rejected(f"the signature's manifest has more than {MOST_LAYERS} layers")
    return manifest
