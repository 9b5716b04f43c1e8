"""`spec.sparseCheckout`: the directories that an artifact holds, and nothing beside them.

Other than in git's cone mode, the files on the way there stay out, as in Flux: a Kustomization of
the root would apply them, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class SparseCheckout:
    directories: tuple[str, ...]  # clean; none means everything

    @classmethod
    def of(cls, listed: Sequence[str]) -> "SparseCheckout":
        cleaned = tuple(_cleaned(directory) for directory in listed)
        return cls(() if "" in cleaned else cleaned)

    def wants(self, path: str) -> bool:
        """This file."""
        directory = path.rpartition("/")[0]
        return not self.directories or any(above in self._listed for above in _upwards(directory))

    def reaches(self, directory: str) -> bool:
        """Something below this directory."""
        return self.wants(f"{directory}/") or directory in self._on_the_way

    def inside(self, prefix: str) -> dict[str, str]:
        """The directories that lie below the prefix ("" or with its slash): there -> as listed."""
        return {
            directory.removeprefix(prefix): directory
            for directory in self.directories
            if directory.startswith(prefix)
        }

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(self.directories)

    @cached_property
    def _on_the_way(self) -> frozenset[str]:
        ways = (above for directory in self.directories for above in _upwards(directory))
        return frozenset(("", *ways))


def _upwards(directory: str) -> Iterator[str]:
    """The directory and those that it is in, but for the root."""
    while directory:
        yield directory
        directory = directory.rpartition("/")[0]


def _cleaned(directory: str) -> str:
    parts = [part for part in directory.removeprefix("./").split("/") if part]
    return "" if parts == ["."] else "/".join(parts)
