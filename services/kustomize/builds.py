"""The builds that were made last, for others who want the same."""

from collections import OrderedDict

from shared.engine_messages import Built

BUILDS = 32
OBJECTS = 5_000  # of all of them together; the one made last stays, however many it has


class Builds:
    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Built] = OrderedDict()
        self._objects = 0

    def get(self, key: bytes) -> Built | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: bytes, built: Built) -> None:
        """One that is not there yet."""
        self._kept[key] = built
        self._objects += len(built.objects)
        while len(self._kept) > 1 and (len(self._kept) > BUILDS or self._objects > OBJECTS):
            _, dropped = self._kept.popitem(last=False)
            self._objects -= len(dropped.objects)
