"""Sets one path in values as `helm --set` does: `a.b[0].c=value`, in place.

The text may be a tenant's: depth, indexes and the growth of lists are bounded, and no error shows
it. A backslash takes the next character as it is; unquoted text is typed (true, null, 12), quoted
text is a string, `{a,b}` is a list, and a comma starts the next `path=value`.
"""

import re
from typing import Any

MAX_DEPTH = 60  # Helm takes 30 dots; with an index between each two
MAX_INDEX = 65536  # Helm's
# Helm bounds each index but not their sum: `a[65535]=1,b[65535]=1,…` would eat any memory.
MAX_GROWTH = 4 * MAX_INDEX

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_INT64 = range(-(2**63), 2**63)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "0": 0}


class TargetPathError(ValueError):
    """The path or its value cannot be set; the message never shows the value."""


def set_path(values: dict[str, Any], path: str, text: str, *, literal: bool = False) -> None:
    """Raises TargetPathError, possibly after a part has been set."""
    quote = text[:1]
    quoted = len(text) >= 2 and quote in {'"', "'"} and text.endswith(quote)
    if literal:
        _Setter(f"{path}=", path, literal=text).run(values)
    elif quoted:
        _Setter(f"{path}={text[1:-1]}", path, typed=False).run(values)
    else:
        _Setter(f"{path}={text}", path).run(values)


class _Setter:
    """One pass over one line of assignments."""

    def __init__(
        self, line: str, path: str, *, typed: bool = True, literal: str | None = None
    ) -> None:
        self._line = line
        self._path = path
        self._typed = typed
        self._literal = literal
        self._at = 0
        self._grown = 0

    def run(self, values: dict[str, Any]) -> None:
        while self._at < len(self._line):
            self._assign_in_map(values, 0)

    def _assign_in_map(self, target: dict[str, Any], depth: int) -> None:
        key, stop = self._until("=[,.")
        match stop:
            case "=":
                _put(target, key, self._value())
            case "[":
                items = self._child(target.get(key, []), list)
                self._assign_in_list(items, self._index(), depth + 1)
                _put(target, key, items)
            case ".":
                inner = self._child(target.get(key, {}), dict)
                self._assign_in_map(inner, self._deeper(depth))
                if inner:
                    _put(target, key, inner)
            case _:
                # What looks like a key may be the tail of a secret with a comma in it.
                raise self._error("needs a value; write a comma in a value as '\\,'")

    def _assign_in_list(self, items: list[Any], index: int, depth: int) -> None:
        self._grow(items, index)
        between, stop = self._until("[.=")
        if between or not stop:
            raise self._error("has something else than . or [ or = after an index")
        if stop == "=":
            items[index] = self._value()
        elif stop == "[":
            inner = self._child([] if items[index] is None else items[index], list)
            items[index] = inner
            self._assign_in_list(inner, self._index(), self._deeper(depth))
        else:
            if not isinstance(items[index], dict):
                items[index] = {}
            self._assign_in_map(items[index], self._deeper(depth))

    def _value(self) -> Any:
        if self._literal is not None:
            return self._literal
        if self._line[self._at : self._at + 1] == "{":
            self._at += 1
            return self._list()
        return self._read(self._until(",")[0])

    def _list(self) -> list[Any]:
        items = []
        stop = ","
        while stop == ",":
            text, stop = self._until(",}")
            items.append(self._read(text))
        if not stop:
            raise self._error("has a list that does not end with '}'")
        if self._line[self._at : self._at + 1] == ",":
            self._at += 1
        return items

    def _read(self, text: str) -> Any:
        if not self._typed:
            return text
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        # An integer of twenty digits is out of range already, and converting a million is slow.
        if not text.startswith("0") and len(text) <= 20 and _INTEGER.fullmatch(text):
            number = int(text)
            return number if number in _INT64 else text
        return text

    def _index(self) -> int:
        text, stop = self._until("]")
        if not stop or not _INTEGER.fullmatch(text) or len(text) > 10:
            raise self._error("has an index that is not a number")
        index = int(text)
        if not 0 <= index <= MAX_INDEX:
            raise self._error(f"has an index outside 0 to {MAX_INDEX}")
        return index

    def _grow(self, items: list[Any], index: int) -> None:
        missing = index + 1 - len(items)
        if missing <= 0:
            return
        self._grown += missing
        if self._grown > MAX_GROWTH:
            raise self._error(f"makes lists longer than {MAX_GROWTH} items together")
        items.extend([None] * missing)

    def _deeper(self, depth: int) -> int:
        if depth >= MAX_DEPTH:
            raise self._error(f"is nested deeper than {MAX_DEPTH} levels")
        return depth + 1

    def _child(self, value: Any, kind: type[Any]) -> Any:
        if not isinstance(value, kind):
            shape = "list" if kind is list else "map"
            raise self._error(f"goes through a value that is no {shape}")
        return value

    def _until(self, stops: str) -> tuple[str, str]:
        """The text before the next stop, and that stop; empty at the end of the line."""
        found: list[str] = []
        while self._at < len(self._line):
            character = self._line[self._at]
            self._at += 1
            if character in stops:
                return "".join(found), character
            if character == "\\":
                character = self._line[self._at : self._at + 1]
                self._at += 1
            found.append(character)
        return "".join(found), ""

    def _error(self, problem: str) -> TargetPathError:
        return TargetPathError(f"targetPath {self._path!r} {problem}")


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    if key:  # Helm drops what has no key
        target[key] = value
