"""The one door to OpenPGP: was this text signed by one of these keys, and are they good today?

Sequoia decides what a valid signature is (no SHA-1, no short keys), as of the time of signing.
Beyond that, what has expired or was revoked since then is refused, too.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from shared.clock import Now, now

if TYPE_CHECKING:
    from pysequoia import Cert, Sig

T = TypeVar("T")
PgpKey: TypeAlias = "Cert"

MAX_SIGNATURE = 64 * 1024


class PgpError(Exception):
    """Not a good signature, or not a key; the message says why."""


def pgp_keys(text: bytes) -> "list[Cert]":
    """Of one armored or binary key ring; raises PgpError."""
    from pysequoia import Cert

    try:
        found = _guarded(lambda: Cert.split_bytes(text))
    except PgpError as error:
        raise PgpError(f"no OpenPGP public key: {error}") from error
    if not found:
        raise PgpError("no OpenPGP public key")
    return found


def verified_by(payload: bytes, signature: bytes, keys: "Iterable[Cert]", now: Now = now) -> str:
    """The long id of the key that signed; raises PgpError."""
    from pysequoia import Sig, verify

    if len(signature) > MAX_SIGNATURE:
        raise PgpError("the signature is too long")
    known = list(keys)
    parsed = _guarded(lambda: Sig.from_bytes(signature))
    try:
        result = _guarded(lambda: verify(bytes=payload, store=lambda _: known, signature=parsed))
    except PgpError as error:
        raise PgpError(_why_not(parsed, known)) from error
    signer = result.valid_sigs[0]
    cert = next(key for key in known if key.fingerprint == signer.certificate)
    _require_good(cert, signer.signing_key, now)
    return str(cert.fingerprint[-16:].upper())


def _why_not(signature: "Sig", known: "Iterable[Cert]") -> str:
    """Sequoia does not tell; what the signature says of its signer is only good for a message."""
    signer = signature.issuer_fingerprint or ""
    if any(key.fingerprint == signer and key.is_revoked for key in known):
        return f"key {signer[-16:].upper()} was revoked"
    claimed = f", and it claims to be key {signer[-16:].upper()}'s" if signer else ""
    return f"none of the trusted keys has made this signature{claimed}"


def _require_good(cert: "Cert", signing_key: str, now: Now) -> None:
    """Today; Sequoia has looked at the day of the signature."""
    shown = cert.fingerprint[-16:].upper()
    if cert.is_revoked:
        raise PgpError(f"key {shown} was revoked")
    if cert.expiration is not None and cert.expiration <= now():
        raise PgpError(f"key {shown} has expired")
    if signing_key != cert.fingerprint:
        _require_good_subkey(cert, signing_key, now)


def _require_good_subkey(cert: "Cert", signing_key: str, now: Now) -> None:
    from pysequoia.packet import PacketPile, SignatureType

    packets = list(_guarded(lambda: PacketPile.from_bytes(bytes(cert))))
    start = next(n for n, packet in enumerate(packets) if packet.fingerprint == signing_key)
    created = packets[start].key_created
    bindings: list[tuple[datetime, timedelta | None]] = []
    for packet in packets[start + 1 :]:
        if packet.fingerprint is not None:
            break
        if packet.signature_type == SignatureType.SubkeyRevocation:
            raise PgpError(f"subkey {signing_key[-16:].upper()} was revoked")
        if packet.signature_type == SignatureType.SubkeyBinding and packet.signature_created:
            bindings.append((packet.signature_created, packet.key_validity_period))
    _, validity = max(bindings, key=lambda binding: binding[0])
    if created and validity and created + validity <= now():
        raise PgpError(f"subkey {signing_key[-16:].upper()} has expired")


def _guarded(action: Callable[[], T]) -> T:
    try:
        return action()
    except BaseException as error:
        # A panic of the Rust library is no Exception, and a stranger's bytes must not end us.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = str(error).partition("\n")[0][:300]  # below it is a backtrace
        raise PgpError(said) from None
