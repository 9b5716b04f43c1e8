"""The files of one source by path, in an order that lets a directory be found without a search."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import cached_property

from services.source.generator.workbench import Piece


class Tree:
    def __init__(self, files: Mapping[str, Piece]) -> None:
        self._files = files
        self._paths = sorted(files)

    def get(self, path: str) -> Piece | None:
        return self._files.get(path)

    def below(self, directory: str) -> Iterator[tuple[str, Piece]]:
        """The files in it at any depth, in order; "" is the root."""
        start, end = 0, len(self._paths)
        if directory:
            start = bisect_left(self._paths, f"{directory}/")
            end = bisect_left(self._paths, f"{directory}0")  # the character after the slash
        for path in self._paths[start:end]:
            yield path, self._files[path]

    @cached_property
    def directories(self) -> list[str]:
        found: set[str] = set()
        for path in self._paths:
            while (path := path.rpartition("/")[0]) and path not in found:
                found.add(path)
        return sorted(found)
