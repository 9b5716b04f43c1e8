"""Bytes of strangers become records: whole, in shape, and what their digest says, or `Rejected`."""

import base64
import binascii
import hashlib
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from services.source.verification.interface import Rejected

Record = TypeVar("Record")
# The library warns of what it will refuse one day; where warnings are errors, they come here, too.
_UNREADABLE = (
    *(ValueError, TypeError, ArithmeticError, LookupError, UnsupportedAlgorithm, Warning),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)


class Camel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The fields that we read of a document in JSON; others pass by."""


def decoded(content: bytes, kind: type[Record], what: str) -> Record:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Rejected(f"{what} is not as it should be: {str(error)[:200]}") from error


def require_digest(content: bytes, digest: str, what: str) -> bytes:
    """The content again, when it is what its digest says."""
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if found != digest:
        raise Rejected(f"{what} has digest {found}, not {digest[:80]}")
    return content


def from_base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Rejected(f"{what} is not base64") from error


def from_base64url(text: str, what: str) -> bytes:
    """As in JSON web signatures: without padding."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Rejected(f"{what} is not base64url") from error


def certificate(der: bytes, what: str) -> x509.Certificate:
    """With all that we ask it for read already, which the library does only when asked."""
    try:
        read = x509.load_der_x509_certificate(der)
        read.public_key()
        tuple(read.extensions)
        read.subject.rfc4514_string()
        read.issuer.rfc4514_string()
        _ = read.not_valid_before_utc, read.not_valid_after_utc
    except _UNREADABLE as error:
        raise Rejected(f"{what} is not an X.509 certificate that can be read") from error
    return read
