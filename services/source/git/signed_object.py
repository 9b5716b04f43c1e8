"""A commit or a tag as its signer saw it: the bytes that were signed, and the signature.

A commit's signature is one of its headers, a tag's stands at its end. Not a byte of the rest may be
left out, and a commit with two signatures is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.source.git.mirror import GitObject

_HEADERS = {40: b"gpgsig", 64: b"gpgsig-sha256"}  # by the length of the repository's ids
_BEGINNINGS = (
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
)


class InvalidObject(Exception):
    """It cannot be verified, whatever the keys are."""


@dataclass(frozen=True)
class _Field:
    lines: tuple[bytes, ...]

    @property
    def name(self) -> bytes:
        return self.lines[0].partition(b" ")[0]

    @property
    def value(self) -> bytes:
        first = self.lines[0].partition(b" ")[2]
        return b"\n".join((first, *(line[1:] for line in self.lines[1:])))


@dataclass(frozen=True)
class SignedObject:
    payload: bytes
    signature: bytes  # empty when there is none
    headers: dict[bytes, bytes] = field(default_factory=dict)  # the first of each name


def signed_object(raw: GitObject) -> SignedObject:
    """Raises InvalidObject."""
    head, separator, message = raw.content.partition(b"\n\n")
    fields = list(_fields(head))
    kept = [line for field in fields if field.name not in _HEADERS.values() for line in field.lines]
    if raw.kind == "tag":
        message, signature = _split(message)
    else:
        signature = _header(raw, fields)
    headers = {field.name: field.value for field in reversed(fields)}
    return SignedObject(b"\n".join(kept) + separator + message, signature, headers)


def _header(raw: GitObject, fields: list[_Field]) -> bytes:
    found = [field.value for field in fields if field.name == _HEADERS[len(raw.id)]]
    if len(found) > 1:
        raise InvalidObject(f"{raw.kind} {raw.id} has more than one signature")
    return found[0] if found else b""


def _fields(head: bytes) -> Iterator[_Field]:
    """Lines that start with a space go on with the one before; not a byte is lost."""
    lines: list[bytes] = []
    for line in head.split(b"\n"):
        if lines and not line.startswith(b" "):
            yield _Field(tuple(lines))
            lines = []
        lines.append(line)
    yield _Field(tuple(lines))


def _split(message: bytes) -> tuple[bytes, bytes]:
    """As git does: the signature begins at the last line that begins one."""
    start = position = 0
    found = False
    while position < len(message):
        if message.startswith(_BEGINNINGS, position):
            start, found = position, True
        end = message.find(b"\n", position)
        position = end + 1 if end >= 0 else len(message)
    return (message[:start], message[start:]) if found else (message, b"")
