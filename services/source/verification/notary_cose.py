"""The COSE envelope of the Notary Project: one signer's message in CBOR (`application/cose`)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from services.source.verification import cbor
from services.source.verification.cbor import CborError, Tagged
from services.source.verification.interface import Rejected
from services.source.verification.notary_envelope import (
    EXPIRY,
    PLUGIN,
    SIGNING_SCHEME,
    SIGNING_TIME,
    Attributes,
    Envelope,
)

MEDIA_TYPE = "application/cose"
_ALGORITHM, _CRITICAL, _CONTENT_TYPE, _CERTIFICATES = 1, 2, 3, 33  # keys of headers
_ALGORITHMS = {
    -7: "ES256",
    -35: "ES384",
    -36: "ES512",
    -37: "PS256",
    -38: "PS384",
    -39: "PS512",
}
_Headers: TypeAlias = Mapping[int | str, Any]


def read(content: bytes) -> Envelope:
    """Raises Rejected."""
    try:
        message = cbor.load(content)
        protected, unprotected, payload, signature = _parts(message)
        headers = cbor.load(protected)
    except CborError as error:
        raise Rejected(f"the envelope is not COSE: {error}") from error
    if not isinstance(headers, dict):
        raise Rejected("the signed header of the envelope is not a map")
    signed = (cbor.text("Signature1"), *map(cbor.byte_string, (protected, b"", payload)))
    return Envelope(
        attributes=_attributes(headers),
        payload=payload,
        signed=cbor.array(*signed),
        signature=signature,
        certificates=_certificates(unprotected),
    )


def _parts(message: object) -> tuple[bytes, _Headers, bytes, bytes]:
    match message:
        # The tag of COSE_Sign1.
        case Tagged(18, [bytes(protected), dict(headers), bytes(body), bytes(signature)]):
            return protected, headers, body, signature
    raise CborError("not the message of one signer")


def _certificates(headers: _Headers) -> tuple[bytes, ...]:
    """A single one may come without a list around it."""
    told = headers.get(_CERTIFICATES)
    listed = [told] if isinstance(told, bytes) else told
    if not isinstance(listed, list) or not all(isinstance(each, bytes) for each in listed):
        raise Rejected("the envelope has no certificates")
    return tuple(listed)


def _attributes(headers: _Headers) -> Attributes:
    signing_time = _time(headers, SIGNING_TIME)
    if signing_time is None:
        raise Rejected("the signature does not say when it was made")
    algorithm = headers.get(_ALGORITHM)
    return Attributes(
        algorithm=_ALGORITHMS.get(algorithm, "") if isinstance(algorithm, int) else "",
        content_type=_text(headers, _CONTENT_TYPE),
        scheme=_text(headers, SIGNING_SCHEME),
        critical=frozenset(_labels(headers.get(_CRITICAL))),
        signing_time=signing_time,
        expiry=_time(headers, EXPIRY),
        plugin=PLUGIN in headers,
    )


def _text(headers: _Headers, key: int | str) -> str:
    value = headers.get(key)
    if not isinstance(value, str):
        raise Rejected(f"the signed header has no {key}")
    return value


def _labels(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, int | str) for each in value):
        raise Rejected("the signed header does not say what is critical in it")
    return [str(each) for each in value]


def _time(headers: _Headers, key: str) -> datetime | None:
    match headers.get(key):
        case None:
            return None
        case Tagged(1, int(seconds)):  # since 1970
            try:
                return datetime.fromtimestamp(seconds, UTC)
            except (OverflowError, ValueError, OSError):
                pass
    raise Rejected(f"{key} in the signed header is not a time")
