"""Signatures made by cosign: Sigstore bundles (what cosign 3 makes), and the older layout.

A bundle refers to the artifact as OCI referrers do. The older layout keeps signatures as layers of
a manifest, at a tag made from the artifact's digest or (an experiment of cosign 2) as a referrer.
One signature that the judge accepts is enough; whose it must be is the judge's business alone.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol, TypeVar

from services.source.verification.candidates import Candidates, Layer, SignatureManifest
from services.source.verification.interface import (
    MOST_ALTOGETHER,
    MOST_SIGNATURES,
    Described,
    RegistryReader,
    Rejected,
    SignedArtifact,
    Verified,
    no_signature,
)
from services.source.verification.public_keys import PublicKey
from services.source.verification.reading import from_base64
from services.source.verification.sigstore_bundle import (
    ARTIFACT_TYPE,
    SIGNING,
    Bundle,
    Envelope,
    require_statement,
)
from services.source.verification.simple_signing import require_about

PREDICATE = "dev.sigstore.bundle.predicateType"
OLD_LAYOUT = "application/vnd.dev.cosign.artifact.sig.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
Result = TypeVar("Result")


class Statement(NamedTuple):
    """What an envelope was found to hold, and whose signature it has."""

    by: str
    payload_type: str
    payload: bytes


class Judge(Protocol):
    """Says whose signature it is, or raises Rejected."""

    @property
    def provider(self) -> str: ...

    async def detached(self, payload: bytes, signature: bytes, layer: Layer) -> str:
        """Of the older layout; the layer's annotations may prove who signed."""

    async def envelope(self, envelope: Envelope, bundle: bytes) -> Statement: ...

    async def message(self, signature: bytes, message: bytes, bundle: bytes) -> str: ...


class CosignVerifier:
    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def verify(self, artifact: SignedArtifact, registry: RegistryReader) -> list[Verified]:
        """The first that counts. Raises VerificationFailed."""
        reasons: list[str] = []
        async with aclosing(self._judged(Candidates(artifact, registry))) as judgements:
            async for judged in judgements:
                if isinstance(judged, Verified):
                    return [judged]
                reasons.append(str(judged))
                if len(reasons) == MOST_ALTOGETHER:
                    break
        raise no_signature(artifact, self._judge.provider, reasons)

    async def _judged(self, candidates: Candidates) -> AsyncGenerator[Verified | Rejected, None]:
        referrers = await candidates.referring(_is_signature)
        bundles = [each for each in referrers if each.artifact_type != OLD_LAYOUT]
        for referrer in _signatures_first(bundles)[:MOST_SIGNATURES]:
            yield await _tried(self._bundle(candidates, referrer))
        at_tag = await _tried(candidates.at_tag())
        async for judged in self._layers(candidates, at_tag):
            yield judged
        older = [each for each in referrers if each.artifact_type == OLD_LAYOUT]
        for referrer in older[:MOST_SIGNATURES]:
            manifest = await _tried(candidates.manifest_of(referrer))
            async for judged in self._layers(candidates, manifest):
                yield judged

    async def _layers(
        self, candidates: Candidates, manifest: SignatureManifest | Rejected | None
    ) -> AsyncIterator[Verified | Rejected]:
        if isinstance(manifest, Rejected):
            yield manifest
        elif manifest is not None:
            for layer in manifest.layers[:MOST_SIGNATURES]:
                yield await _tried(self._layer(candidates, layer))

    async def _bundle(self, candidates: Candidates, referrer: Described) -> Verified:
        manifest = await candidates.manifest_of(referrer)
        if not manifest.layers:
            raise Rejected("the signature's manifest has no layer")
        content = await candidates.content_of(manifest.layers[0])
        bundle = Bundle.decode(content)
        if bundle.dsse_envelope is not None:
            proven = await self._judge.envelope(bundle.dsse_envelope, content)
            require_statement(proven.payload_type, proven.payload, candidates.artifact)
            return Verified(proven.by)
        message = await candidates.signed_manifest()
        return Verified(await self._judge.message(bundle.signature, message, content))

    async def _layer(self, candidates: Candidates, layer: Layer) -> Verified:
        signature = from_base64(layer.told(SIGNATURE), "the signature")
        payload = await candidates.content_of(layer)
        signer = await self._judge.detached(payload, signature, layer)
        require_about(payload, candidates.artifact)
        return Verified(signer)


class KeyJudge:
    """Any of the keys may have signed. What logs and timestamps say adds nothing to that."""

    provider = "cosign"

    def __init__(self, keys: list[PublicKey]) -> None:
        self._keys = keys

    async def detached(self, payload: bytes, signature: bytes, layer: Layer) -> str:
        return await asyncio.to_thread(self._signer, signature, payload)

    async def envelope(self, envelope: Envelope, bundle: bytes) -> Statement:
        signer = await asyncio.to_thread(self._signer, envelope.signature, envelope.signed)
        return Statement(signer, envelope.payload_type, envelope.payload)

    async def message(self, signature: bytes, message: bytes, bundle: bytes) -> str:
        return await asyncio.to_thread(self._signer, signature, message)

    def _signer(self, signature: bytes, message: bytes) -> str:
        for key in self._keys:
            if key.verifies(signature, message):
                return key.name
        names = ", ".join(key.name for key in self._keys)
        raise Rejected(f"no key of the Secret made it (tried {names})")


def _signatures_first(bundles: Sequence[Described]) -> list[Described]:
    """By what the registry tells of each one; a scan a day makes many attestations in a year."""
    return sorted(bundles, key=lambda each: (each.annotations or {}).get(PREDICATE, "") != SIGNING)


def _is_signature(artifact_type: str) -> bool:
    return artifact_type.startswith(ARTIFACT_TYPE) or artifact_type == OLD_LAYOUT


async def _tried(attempt: Awaitable[Result]) -> Result | Rejected:
    try:
        return await attempt
    except Rejected as rejected:
        return rejected
