"""Runs that only wait are told that the world has moved on: a new revision or spec, drift."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.cluster.health import Nudge
from shared.resources.meta import NamespacedName


class Nudges:
    def __init__(self) -> None:
        self._listening: dict[NamespacedName, Nudge] = {}

    @contextmanager
    def listening(self, key: NamespacedName) -> Iterator[Nudge]:
        """There is never more than one run of an object."""
        nudge = self._listening[key] = Nudge()
        try:
            yield nudge
        finally:
            del self._listening[key]

    def nudge(self, key: NamespacedName) -> None:
        if key in self._listening:
            self._listening[key]()
