"""The one door to YAML: libyaml parses, this module builds what Go would have built.

Values are what JSON can hold; keys are strings; a key that comes twice has its last value; `<<`
merges. A document that nests too deep, or that multiplies itself through aliases, is refused before
it is built: 1 KB of aliases can mean a gigabyte.
"""

import base64
import binascii
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from yaml import CSafeDumper
from yaml._yaml import CParser

from shared import yaml_scalars

MAX_DEPTH = 200  # orjson writes 254 levels; no Kubernetes schema has a hundred
MAX_ALIASED = 400_000  # nodes that exist only because an alias repeats them; Go's own first limit

_INT, _FLOAT, _STRING = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "str"))
_BOOL, _NULL, _BINARY = (f"tag:yaml.org,2002:{name}" for name in ("bool", "null", "binary"))
_EXPECTED: dict[str, tuple[type, ...]] = {
    _INT: (int,),
    _FLOAT: (float, int),
    _BOOL: (bool,),
    _NULL: (type(None),),
}


class DocumentError(Exception):
    """Not the YAML that Kubernetes reads; says where, and never shows the text."""


def load(text: str | bytes) -> Any:
    """The first document; None when there is none."""
    return next(_documents(text), None)


def load_all(text: str | bytes) -> list[Any]:
    return list(_documents(text))


def dump(value: Any) -> str:
    """Text that Go and PyYAML both read back as `value`."""
    try:
        text: str = yaml.dump(
            value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NEVER_FOLD
        )
    except (yaml.YAMLError, RecursionError) as error:
        raise DocumentError(f"cannot be written as YAML: {error}") from error
    return text


_NEVER_FOLD = 1 << 20


class _Dumper(CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # a reader should not have to follow anchors
        return True


def _represent_string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    if "\n" in text:
        return dumper.represent_scalar(_STRING, text, style="|")
    quoted = not isinstance(yaml_scalars.plain(text), str) or text == "<<"
    return dumper.represent_scalar(_STRING, text, style="'" if quoted else None)


_Dumper.add_representer(str, _represent_string)


def _documents(text: str | bytes) -> Iterator[Any]:
    with problems_told():
        parser = CParser(text)
        while (event := parser.get_event()) is not None:
            if isinstance(event, yaml.DocumentStartEvent):
                yield Builder(parser.get_event).document()


@contextmanager
def problems_told() -> Iterator[None]:
    """What libyaml raises, as a DocumentError."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DocumentError(f"{line}{error.problem}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise DocumentError("the text is not UTF-8, or has control characters") from error


class Builder:
    """Builds one document from the parser's events. Recursion is bounded by `MAX_DEPTH`."""

    def __init__(self, next_event: Callable[[], Any]) -> None:
        self._next = next_event
        self._most = sys.maxsize
        self._anchors: dict[str, tuple[Any, int]] = {}  # value and how many nodes it is
        self._open: set[str] = set()
        self._nodes = 0
        self._aliased = 0

    def document(self) -> Any:
        value = self._node(self._next(), MAX_DEPTH)
        self._next()
        return value

    def part(self, event: Any, *, nodes: int) -> Any:
        """The value that this event begins, which may have so many nodes."""
        self._most = self._nodes + nodes
        return self._node(event, MAX_DEPTH)

    def key(self, event: Any) -> str:
        return self._key(event)

    def _node(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        before = self._nodes
        self._count(event, 1)
        if event.anchor:
            self._open.add(event.anchor)
        if isinstance(event, yaml.ScalarEvent):
            value = self._checked(yaml_scalars.as_json, _scalar(event), event)
        elif depth == 0:
            raise _too_deep(event)
        elif isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(depth - 1)
        else:
            value = self._sequence(depth - 1)
        if event.anchor:
            self._open.discard(event.anchor)
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _mapping(self, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if _is_merge(event):
                at = self._next()
                _merge(mapping, self._node(at, depth), at)
            else:
                key = self._key(event)
                mapping[key] = self._node(self._next(), depth)
        return mapping

    def _sequence(self, depth: int) -> list[Any]:
        sequence = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            sequence.append(self._node(event, depth))
        return sequence

    def _key(self, event: Any) -> str:
        if isinstance(event, yaml.ScalarEvent) and not event.anchor:
            key: str = self._checked(yaml_scalars.key, _scalar(event), event)
            return key
        value = self._node(event, 0)
        if isinstance(value, dict | list):
            raise _error(event, "a key that is not a scalar")
        aliased: str = self._checked(yaml_scalars.key, value, event)
        return aliased

    def _alias(self, event: Any, depth: int) -> Any:
        if event.anchor in self._open:
            raise _error(event, "an anchor that contains itself")
        if event.anchor not in self._anchors:
            raise _error(event, "an alias without an anchor")
        value, size = self._anchors[event.anchor]
        self._count(event, size)
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise _error(event, f"aliases repeat more than {MAX_ALIASED} nodes")
        return _copy(value, depth, event)

    def _count(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > self._most:
            raise _error(event, "a part of the document has too many values")

    @staticmethod
    def _checked(convert: Callable[[Any], Any], value: Any, event: Any) -> Any:
        try:
            return convert(value)
        except ValueError as error:
            raise _error(event, str(error)) from error


def _scalar(event: yaml.ScalarEvent) -> yaml_scalars.Scalar:
    text: str = event.value
    if event.tag is None:
        return yaml_scalars.plain(text) if event.implicit[0] else text
    if event.tag == _BINARY:
        return _decoded(event)
    if event.tag not in _EXPECTED:
        return text
    value = yaml_scalars.plain(text)
    if type(value) not in _EXPECTED[event.tag]:
        raise _error(event, f"a value that is not {event.tag.rpartition(':')[2]}")
    return value


def _decoded(event: yaml.ScalarEvent) -> str:
    try:
        raw = event.value.replace("\n", "").replace("\r", "")
        return base64.b64decode(raw, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError) as error:
        raise _error(event, "!!binary that is not base64") from error


def _is_merge(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]


def _merge(mapping: dict[str, Any], value: Any, event: Any) -> None:
    """Of several mappings the first wins, so it is merged last."""
    merged = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in merged):
        raise _error(event, "<< that merges something else than mappings")
    for one in reversed(merged):
        mapping.update(one)


def _copy(value: Any, depth: int, event: Any) -> Any:
    """Deep, so that an edit of one place does not show at the other, and never too deep."""
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise _too_deep(event)
    if isinstance(value, dict):
        return {key: _copy(inner, depth - 1, event) for key, inner in value.items()}
    return [_copy(inner, depth - 1, event) for inner in value]


def _too_deep(event: Any) -> DocumentError:
    return _error(event, f"nests deeper than {MAX_DEPTH} levels")


def _error(event: Any, problem: str) -> DocumentError:
    return DocumentError(f"line {event.start_mark.line + 1}: {problem}")
