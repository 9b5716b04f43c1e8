"""The JWS envelope of the Notary Project: JSON around base64 (`application/jose+json`)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from services.source.verification.interface import Rejected
from services.source.verification.notary_envelope import (
    EXPIRY,
    PLUGIN,
    SIGNING_SCHEME,
    SIGNING_TIME,
    Attributes,
    Envelope,
)
from services.source.verification.reading import decoded, from_base64url
from shared.clock import parse_rfc3339

MEDIA_TYPE = "application/jose+json"


class _Header(msgspec.Struct, frozen=True):
    x5c: tuple[bytes, ...]


class _Envelope(msgspec.Struct, frozen=True):
    payload: str
    protected: str
    header: _Header
    signature: str


def read(content: bytes) -> Envelope:
    """Raises Rejected."""
    envelope = decoded(content, _Envelope, "the envelope")
    protected = from_base64url(envelope.protected, "the signed header")
    header = decoded(protected, dict[str, Any], "the signed header")
    return Envelope(
        attributes=_attributes(header),
        payload=from_base64url(envelope.payload, "the signed payload"),
        signed=f"{envelope.protected}.{envelope.payload}".encode(),
        signature=from_base64url(envelope.signature, "the signature"),
        certificates=envelope.header.x5c,
    )


def _attributes(header: Mapping[str, Any]) -> Attributes:
    signing_time = _time(header, SIGNING_TIME)
    if signing_time is None:
        raise Rejected("the signature does not say when it was made")
    return Attributes(
        algorithm=_text(header, "alg"),
        content_type=_text(header, "cty"),
        scheme=_text(header, SIGNING_SCHEME),
        critical=frozenset(_texts(header.get("crit"))),
        signing_time=signing_time,
        expiry=_time(header, EXPIRY),
        plugin=PLUGIN in header,
    )


def _text(header: Mapping[str, Any], name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str):
        raise Rejected(f"the signed header has no {name}")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Rejected("the signed header does not say what is critical in it")
    return value


def _time(header: Mapping[str, Any], name: str) -> datetime | None:
    if name not in header:
        return None
    try:
        return parse_rfc3339(_text(header, name))
    except ValueError as error:
        raise Rejected(f"{name} in the signed header is not a time") from error
