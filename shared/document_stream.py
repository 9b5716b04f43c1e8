"""A YAML document that is too large to hold, read piece by piece.

The caller walks the outer levels (`fields`, `items`) and takes the inner ones whole (`value`), each
with a budget. What is read and let go costs no memory; only anchored values are kept, for their
aliases.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Self

import yaml
from yaml._yaml import CParser

from shared.documents import Builder, DocumentError, problems_told

_START = (yaml.StreamStartEvent, yaml.DocumentStartEvent)


class DocumentStream:
    def __init__(self, source: BinaryIO, nodes: int) -> None:
        self._event = CParser(source).get_event
        self._builder = Builder(self._event)
        self._nodes = nodes

    @classmethod
    @contextmanager
    def open(cls, source: BinaryIO, *, nodes: int) -> Iterator[Self]:
        """Raises DocumentError, at any time, for what is not YAML or not what is asked for.

        `nodes`: how many values one part may have.
        """
        with problems_told():
            yield cls(source, nodes)

    def fields(self) -> Iterator[str]:
        """The keys of a mapping. Each one's value must be taken before the next key is."""
        event = self._begin()
        if _is_plain(event, yaml.MappingStartEvent):
            seen = set()
            while not isinstance(event := self._event(), yaml.MappingEndEvent):
                key = self._builder.key(event)
                if key in seen:
                    raise DocumentError(f"{_line(event)}the key {key[:100]!r} comes twice")
                seen.add(key)
                yield key
        elif not self._is_nothing(event):
            raise DocumentError(f"{_line(event)}not a mapping of its own")

    def items(self) -> Iterator[Any]:
        """The values of a sequence, whole, one after the other."""
        event = self._begin()
        if _is_plain(event, yaml.SequenceStartEvent):
            while not isinstance(event := self._event(), yaml.SequenceEndEvent):
                yield self._builder.part(event, nodes=self._nodes)
            return
        whole = self._builder.part(event, nodes=self._nodes)
        if not isinstance(whole, list | None):
            raise DocumentError(f"{_line(event)}not a sequence")
        yield from whole or ()

    def value(self) -> Any:
        return self._builder.part(self._begin(), nodes=self._nodes)

    def _is_nothing(self, event: Any) -> bool:
        """The document has ended, or has null here."""
        return event is None or (
            isinstance(event, yaml.ScalarEvent)
            and self._builder.part(event, nodes=self._nodes) is None
        )

    def _begin(self) -> Any:
        while isinstance(event := self._event(), _START):
            pass
        return None if isinstance(event, yaml.StreamEndEvent) else event


def _is_plain(event: Any, kind: type[Any]) -> bool:
    """Without an anchor, so that nobody refers to it later."""
    return isinstance(event, kind) and not event.anchor


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}: " if event is not None else ""
