"""Certificates that sign code: what the Notary Project asks of each one of a chain.

A chain is complete: it starts with the signer and ends with a root that signed itself. Whether any
of it is trusted, and valid now, is not asked here. Revocation is asked nowhere: that would be
network requests to wherever a stranger's certificate points.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.source.verification.interface import Rejected
from services.source.verification.reading import certificate

LONGEST_CHAIN = 10
Extension = TypeVar("Extension", bound=x509.ExtensionType)
_FOREIGN_USES = frozenset(
    {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.TIME_STAMPING,
        ExtendedKeyUsageOID.OCSP_SIGNING,
    }
)
_NOT_FOR_SIGNERS = (
    *("key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign"),
)


def sound_chain(raw: Sequence[bytes]) -> list[x509.Certificate]:
    """The signer first. Raises Rejected."""
    if not raw:
        raise Rejected("the signature comes without certificates")
    if len(raw) > LONGEST_CHAIN:
        raise Rejected(f"the signature has more than {LONGEST_CHAIN} certificates")
    chain = [certificate(der, "a certificate of the signature") for der in raw]
    issuers = [*chain[1:], chain[-1]]
    for one, issuer in zip(chain, issuers, strict=True):
        _require_issued(one, issuer)
    _require_signer(chain[0])
    for below, authority in enumerate(chain[1:]):
        _require_authority(authority, below)
    return chain


def require_valid_at(chain: Sequence[x509.Certificate], moment: datetime) -> None:
    for one in chain:
        if not one.not_valid_before_utc <= moment <= one.not_valid_after_utc:
            raise Rejected(
                f"the certificate {_name(one)} is valid from {one.not_valid_before_utc:%Y-%m-%d} "
                f"to {one.not_valid_after_utc:%Y-%m-%d} only"
            )


def _require_issued(one: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise Rejected(
            f"the certificate {_name(one)} was not issued by {_name(issuer)}, which follows it"
        ) from error


def _require_signer(signer: x509.Certificate) -> None:
    constraints = _extension(signer, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise Rejected(f"{_name(signer)} is an authority, which must not sign itself")
    usage = _key_usage(signer)
    if not usage.digital_signature or any(getattr(usage, other) for other in _NOT_FOR_SIGNERS):
        raise Rejected(f"the key of {_name(signer)} is not for digital signatures alone")
    uses = _extension(signer, x509.ExtendedKeyUsage)
    if uses is None:
        return
    if ExtendedKeyUsageOID.CODE_SIGNING not in uses or _FOREIGN_USES & set(uses):
        raise Rejected(f"{_name(signer)} is a certificate for something else than signing code")


def _require_authority(authority: x509.Certificate, below: int) -> None:
    constraints = _extension(authority, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Rejected(f"{_name(authority)} is no authority, and must not issue certificates")
    if constraints.path_length is not None and constraints.path_length < below:
        raise Rejected(f"{_name(authority)} allows {constraints.path_length} authorities below it")
    if not _key_usage(authority).key_cert_sign:
        raise Rejected(f"the key of {_name(authority)} is not for issuing certificates")


def _key_usage(one: x509.Certificate) -> x509.KeyUsage:
    try:
        extension = one.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound as error:
        raise Rejected(f"{_name(one)} does not say what its key is for") from error
    if not extension.critical:
        raise Rejected(f"{_name(one)} says what its key is for, but not that it matters")
    return extension.value


def _extension(one: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return one.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _name(one: x509.Certificate) -> str:
    return repr(one.subject.rfc4514_string()[:200])
