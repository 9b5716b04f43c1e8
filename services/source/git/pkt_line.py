"""The framing of Git's protocol: four hexadecimal digits of length, then that much of text."""

from collections.abc import Iterator

FLUSH = b"0000"
DELIMITER = b"0001"
_SPECIAL = {0: FLUSH, 1: DELIMITER, 2: b"0002"}


class ProtocolError(Exception):
    """What came is not Git's protocol."""


def packet(text: str) -> bytes:
    content = text.encode("utf-8", "surrogateescape") + b"\n"
    return b"%04x" % (len(content) + 4) + content


def packets(stream: bytes) -> Iterator[bytes]:
    """The contents without their newline; `FLUSH` and `DELIMITER` stand for themselves."""
    position = 0
    while position < len(stream):
        length = length_of(stream[position : position + 4])
        if length in _SPECIAL:
            yield _SPECIAL[length]
            position += 4
            continue
        content = stream[position + 4 : position + length]
        if length < 4 or len(content) != length - 4:
            raise ProtocolError("a packet that is cut off")
        position += length
        yield content.removesuffix(b"\n")


def length_of(digits: bytes) -> int:
    if len(digits) != 4 or digits.strip(b"0123456789abcdefABCDEF"):
        raise ProtocolError("not in packets, as Git servers speak")
    return int(digits, 16)
