"""Who signed without a key of his own: the identity that a certificate states, and who may.

`issuer` and `subject` are regular expressions in Go's syntax, searched for anywhere in the text:
write `^…$` to mean all of it. Without any of them every identity counts, which proves that somebody
signed, but not who.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import re2
from cryptography import x509
from cryptography.hazmat import asn1

from services.source.verification.interface import Rejected, failed
from shared.resources.source.verification import OIDCIdentity

_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_ISSUER_BEFORE = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")  # of older certificates
_OTHER_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


class Identity(NamedTuple):
    issuer: str
    subject: str

    def __str__(self) -> str:
        return f"{self.subject} ({self.issuer})"


class _Pattern(NamedTuple):
    issuer: "re2._Regexp"
    subject: "re2._Regexp"


@dataclass(frozen=True)
class AllowedIdentities:
    _patterns: tuple[_Pattern, ...]

    @classmethod
    def of(cls, wanted: Iterable[OIDCIdentity], provider: str) -> "AllowedIdentities":
        """Raises VerificationFailed when a pattern is none."""
        patterns = []
        for position, one in enumerate(wanted):
            field = f"spec.verify.matchOIDCIdentity[{position}]"
            issuer = _compiled(one.issuer, f"{field}.issuer", provider)
            subject = _compiled(one.subject, f"{field}.subject", provider)
            patterns.append(_Pattern(issuer, subject))
        return cls(tuple(patterns))

    def require(self, identity: Identity) -> None:
        if not self._patterns:
            return
        for pattern in self._patterns:
            if pattern.issuer.search(identity.issuer) and pattern.subject.search(identity.subject):
                return
        raise Rejected(f"{identity} signed it, which spec.verify.matchOIDCIdentity does not match")


def stated_by(certificate: x509.Certificate) -> Identity:
    """Raises ValueError, or what the library raises for extensions that are not there."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    subjects = _subjects(names)
    if len(subjects) != 1:
        raise ValueError(f"a certificate of {len(subjects)} identities instead of one")
    return Identity(_issuer(certificate), subjects[0])


def _subjects(names: x509.SubjectAlternativeName) -> Sequence[str]:
    others = names.get_values_for_type(x509.OtherName)
    return [
        *names.get_values_for_type(x509.RFC822Name),
        *names.get_values_for_type(x509.UniformResourceIdentifier),
        *(asn1.decode_der(str, one.value) for one in others if one.type_id == _OTHER_NAME),
    ]


def _issuer(certificate: x509.Certificate) -> str:
    for identifier in (_ISSUER, _ISSUER_BEFORE):
        try:
            told = certificate.extensions.get_extension_for_oid(identifier).value
        except x509.ExtensionNotFound:
            continue
        if isinstance(told, x509.UnrecognizedExtension):
            raw = told.value
            return asn1.decode_der(str, raw) if identifier == _ISSUER else raw.decode()
    raise ValueError("a certificate that does not say who vouches for its identity")


def _compiled(pattern: str, field: str, provider: str) -> "re2._Regexp":
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        told = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise failed(provider, f"{field}: {pattern!r} is no regular expression: {told}") from error
