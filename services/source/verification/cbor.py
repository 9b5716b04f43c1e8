"""The part of CBOR (RFC 8949) that signatures in COSE use, and nothing else.

Lengths are definite, numbers are integers, a key comes once. Every length is checked against what
is left before anything is made of it, so that no document costs more than its own size.
"""

from typing import Any, NamedTuple

MAX_DEPTH = 16
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_SIMPLE_VALUES = {20: False, 21: True, 22: None}


class CborError(ValueError):
    """Not CBOR, or not of the part that is read."""


class Tagged(NamedTuple):
    tag: int
    value: Any


def load(content: bytes) -> Any:
    """Raises CborError, also when something follows the first item."""
    reader = _Reader(content)
    value = reader.item(MAX_DEPTH)
    if reader.left:
        raise CborError("more than one item")
    return value


def byte_string(content: bytes) -> bytes:
    return _head(_BYTES, len(content)) + content


def text(content: str) -> bytes:
    raw = content.encode()
    return _head(_TEXT, len(raw)) + raw


def array(*items: bytes) -> bytes:
    """Of items that are encoded already."""
    return _head(_ARRAY, len(items)) + b"".join(items)


def _head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes([kind << 5 | number])
    size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
    return bytes([kind << 5 | 23 + size.bit_length()]) + number.to_bytes(size, "big")


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._content) - self._position

    def item(self, depth: int) -> Any:
        first = self._take(1)[0]
        kind, number = first >> 5, self._number(first & 31)
        if kind == _UNSIGNED:
            return number
        if kind == _NEGATIVE:
            return -1 - number
        if kind in (_BYTES, _TEXT):
            return self._string(kind, number)
        if kind == _SIMPLE:
            return _simple(first & 31)
        if depth == 0:
            raise CborError(f"nests deeper than {MAX_DEPTH} levels")
        if kind == _TAG:
            return Tagged(number, self.item(depth - 1))
        return self._list(number, depth) if kind == _ARRAY else self._map(number, depth)

    def _take(self, size: int) -> bytes:
        if size > self.left:
            raise CborError("cut off")
        self._position += size
        return self._content[self._position - size : self._position]

    def _number(self, told: int) -> int:
        if told < 24:
            return told
        if told > 27:
            raise CborError("a length that is not definite")
        return int.from_bytes(self._take(1 << told - 24), "big")

    def _string(self, kind: int, size: int) -> bytes | str:
        content = self._take(size)
        if kind == _BYTES:
            return content
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise CborError("text that is not UTF-8") from error

    def _list(self, count: int, depth: int) -> list[Any]:
        if count > self.left:  # an item has a byte at least
            raise CborError("cut off")
        return [self.item(depth - 1) for _ in range(count)]

    def _map(self, count: int, depth: int) -> dict[int | str, Any]:
        if count > self.left:
            raise CborError("cut off")
        entries: dict[int | str, Any] = {}
        for _ in range(count):
            key = self.item(0)
            if not isinstance(key, int | str) or isinstance(key, bool):
                raise CborError("a key that is neither a number nor text")
            if key in entries:
                raise CborError(f"the key {str(key)[:80]!r} twice")
            entries[key] = self.item(depth - 1)
        return entries


def _simple(number: int) -> bool | None:
    if number not in _SIMPLE_VALUES:
        raise CborError("a value that is no integer, text, bytes, list, map or boolean")
    return _SIMPLE_VALUES[number]
