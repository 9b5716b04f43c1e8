"""Keyless signatures: a certificate for an identity, valid for minutes, and a log that saw it used.

The work is that of the sigstore library, behind `keyless_proofs`: it is large, and therefore loaded
when the first keyless signature is met; and it computes, and therefore runs in a thread.
"""

import asyncio

from services.source.verification.candidates import Layer
from services.source.verification.cosign import Statement
from services.source.verification.identities import AllowedIdentities, Identity
from services.source.verification.sigstore_bundle import Envelope

PROVIDER = "cosign keyless"


class KeylessJudge:
    provider = PROVIDER

    def __init__(self, trusted_root: bytes, allowed: AllowedIdentities) -> None:
        self._root = trusted_root
        self._allowed = allowed

    async def detached(self, payload: bytes, signature: bytes, layer: Layer) -> str:
        return self._admitted(await asyncio.to_thread(self._detached, payload, signature, layer))

    async def envelope(self, envelope: Envelope, bundle: bytes) -> Statement:
        """What the library read, not what we read, is what it found to be signed."""
        signer, payload_type, payload = await asyncio.to_thread(self._envelope, bundle)
        return Statement(self._admitted(signer), payload_type, payload)

    async def message(self, signature: bytes, message: bytes, bundle: bytes) -> str:
        return self._admitted(await asyncio.to_thread(self._message, message, bundle))

    def _admitted(self, signer: Identity) -> str:
        self._allowed.require(signer)
        return str(signer)

    def _detached(self, payload: bytes, signature: bytes, layer: Layer) -> Identity:
        from services.source.verification import keyless_proofs

        return keyless_proofs.of_detached(self._root, payload, signature, layer.annotations or {})

    def _envelope(self, bundle: bytes) -> tuple[Identity, str, bytes]:
        from services.source.verification import keyless_proofs

        return keyless_proofs.of_envelope(self._root, bundle)

    def _message(self, message: bytes, bundle: bytes) -> Identity:
        from services.source.verification import keyless_proofs

        return keyless_proofs.of_message(self._root, message, bundle)
