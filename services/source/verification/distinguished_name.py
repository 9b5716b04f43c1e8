"""Names of certificates as trust policies write them: `C=US, ST=WA, O=Example` (RFC 4514)."""

import re
from collections.abc import Iterator, Mapping

from cryptography import x509
from cryptography.x509.oid import NameOID

LONGEST = 1000
REQUIRED = ("C", "ST", "O")
_NAMES = {
    NameOID.COMMON_NAME: "CN",
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.COUNTRY_NAME: "C",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.LOCALITY_NAME: "L",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.STREET_ADDRESS: "STREET",
    NameOID.POSTAL_CODE: "POSTALCODE",
}
_ATTRIBUTE = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9-]*)\s*=\s*((?:[^\\,;+\"<>]|\\.)*)(?:[,;]|$)", re.DOTALL
)
_ESCAPED = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)


class InvalidName(ValueError):
    """Says what is wrong with it."""


def parsed(text: str) -> dict[str, str]:
    """Each attribute once; those that every name in a trust policy needs are there."""
    if len(text) > LONGEST:
        raise InvalidName(f"a name of more than {LONGEST} characters")
    attributes: dict[str, str] = {}
    for told, value in _attributes(text):
        name = "ST" if told == "S" else told
        if name in attributes:
            raise InvalidName(f"{text!r} has {name} twice")
        attributes[name] = value
    missing = [name for name in REQUIRED if not attributes.get(name)]
    if missing:
        raise InvalidName(f"{text!r} has no {missing[0]}; C, ST and O are needed")
    return attributes


def of_subject(certificate: x509.Certificate) -> dict[str, str]:
    """What a policy can name; of an attribute that comes twice, nothing can be said."""
    attributes: dict[str, str] = {}
    for attribute in certificate.subject:
        name = _NAMES.get(attribute.oid)
        if name in attributes:
            raise InvalidName(f"the subject of the certificate has {name} twice")
        if name and isinstance(attribute.value, str):
            attributes[name] = attribute.value
    return attributes


def is_within(wanted: Mapping[str, str], subject: Mapping[str, str]) -> bool:
    return wanted.items() <= subject.items()


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        found = _ATTRIBUTE.match(text, position)
        if found is None or "=#" in found.group():
            raise InvalidName(f"{text!r} is not a name like 'C=US, ST=WA, O=Example'")
        yield found[1].upper(), _unescaped(_trimmed(found[2]))
        position = found.end()


def _trimmed(value: str) -> str:
    stripped = value.strip()
    return stripped + " " if stripped.endswith("\\") else stripped


def _unescaped(value: str) -> str:
    def plain(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[2]
        return bytes.fromhex(found[1].replace("\\", "")).decode(errors="replace")

    return _ESCAPED.sub(plain, value)
