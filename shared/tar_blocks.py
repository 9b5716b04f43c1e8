"""The 512-byte blocks of a tar stream, written and read; `shared.archive` is its only user.

Writes USTAR headers with everything that could differ between two machines set to zero, and a PAX
record where a name is too long for them. Reads USTAR, PAX, GNU and old V7 headers; everything in
them is what a stranger wrote, so every field is checked before it is believed.
"""

from typing import NamedTuple

BLOCK = 512
END = bytes(2 * BLOCK)
REGULAR, OLD_REGULAR, CONTIGUOUS, DIRECTORY = b"0", b"\0", b"7", b"5"
PAX, PAX_GLOBAL, GNU_NAME, GNU_LINK = b"x", b"g", b"L", b"K"
_NAME, _PREFIX = 100, 155


class MalformedBlock(Exception):
    """These bytes are not a tar header."""


class Header(NamedTuple):
    name: bytes
    mode: int
    size: int
    kind: bytes


def padding(size: int) -> int:
    return -size % BLOCK


def encode(name: bytes, mode: int, size: int, kind: bytes) -> bytes:
    """All blocks that come before the content: one, or three when the name needs a PAX record."""
    fitting = _split(name)
    if fitting is not None:
        return _block(*fitting, mode, size, kind)
    record = _pax_record(b"path", name)
    extended = _block(b"", b"PaxHeaders/path", 0o600, len(record), PAX)
    return b"".join(
        (
            extended,
            record,
            bytes(padding(len(record))),
            _block(b"", name[:_NAME], mode, size, kind),
        )
    )


def decode(block: bytes) -> Header | None:
    """None for the block of zeros that ends an archive."""
    if not block.strip(b"\0"):
        return None
    if _number(block[148:156]) != _checksum(block):
        raise MalformedBlock("header checksum does not match")
    name, prefix = _text(block[:_NAME]), _text(block[345:500])
    if block[257:263] == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    return Header(name, _number(block[100:108]), _number(block[124:136]), block[156:157])


def pax_records(content: bytes) -> dict[bytes, bytes]:
    records = {}
    while content:
        length, _, rest = content.partition(b" ")
        if not length.isdigit() or len(length) > 8 or not 0 < int(length) <= len(content):
            raise MalformedBlock("PAX record with a wrong length")
        key, found, value = rest[: int(length) - len(length) - 1].partition(b"=")
        if not found or not value.endswith(b"\n"):
            raise MalformedBlock("PAX record without a value")
        records[key] = value[:-1]
        content = content[int(length) :]
    return records


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Prefix and name as USTAR wants them; None when no slash divides them to fit."""
    if len(name) <= _NAME:
        return b"", name
    cut = name.find(b"/", len(name) - _NAME - 1, len(name) - 1)
    if 0 < cut <= _PREFIX:
        return name[:cut], name[cut + 1 :]
    return None


def _block(prefix: bytes, name: bytes, mode: int, size: int, kind: bytes) -> bytes:
    zero = b"0000000\0"
    block = b"".join(
        (
            name.ljust(_NAME, b"\0"),
            b"%07o\0" % mode,
            zero,
            zero,
            b"%011o\0" % size,
            b"00000000000\0",
            b" " * 8,
            kind,
            bytes(100),
            b"ustar\x0000",
            bytes(64),
            zero,
            zero,
            prefix.ljust(_PREFIX, b"\0"),
            bytes(12),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _pax_record(key: bytes, value: bytes) -> bytes:
    """`<length> <key>=<value>\\n`, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _checksum(block: bytes) -> int:
    return sum(block[:148]) + 8 * ord(" ") + sum(block[156:])


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if digits.translate(None, b"01234567"):
        raise MalformedBlock("header with a number that is not octal")
    return int(digits, 8)
