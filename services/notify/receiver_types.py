"""How each type of Receiver knows its caller. Pure; every comparison takes the same time."""

import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

HOOK_PREFIX: Final = "/hook/"
SIGNATURE_HEADER: Final = "X-Signature"
_DIGESTS: Final = MappingProxyType(
    {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}
)


class NotAuthentic(Exception):
    """The caller did not prove that it knows the token; says what was expected."""


class Verify(Protocol):
    def __call__(self, token: str, headers: Mapping[str, str], body: bytes) -> None:
        """Raises NotAuthentic."""


def webhook_path(token: str, name: str, namespace: str) -> str:
    """Nobody finds it who does not know the token."""
    return HOOK_PREFIX + hashlib.sha256(f"{token}{name}{namespace}".encode()).hexdigest()


def by_path_alone(token: str, headers: Mapping[str, str], body: bytes) -> None:
    """`generic`: knowing the path is the proof."""


def by_signature(token: str, headers: Mapping[str, str], body: bytes) -> None:
    """`generic-hmac`: X-Signature: <digest>=<lower-case hex of the body's HMAC>."""
    algorithm, _, signature = headers.get(SIGNATURE_HEADER, "").partition("=")
    digest = _DIGESTS.get(algorithm)
    if digest is None or not signature.isascii():
        raise NotAuthentic(f"{SIGNATURE_HEADER}: expected sha256=<hex>, sha512=<hex> or sha1=<hex>")
    expected = hmac.new(token.encode(), body, digest).hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise NotAuthentic(f"{SIGNATURE_HEADER} is not the signature of this body")


TYPES: Final[MappingProxyType[str, Verify]] = MappingProxyType(
    {"generic": by_path_alone, "generic-hmac": by_signature}
)
