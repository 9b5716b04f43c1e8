"""`spec.sparseCheckout`: the directories that an artifact holds, as git's cone mode means them.

All files below the directories, and the files that lie directly in a directory on the way there: at
least those at the root, so that a `.sourceignore` there keeps its meaning.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SparseCheckout:
    directories: tuple[str, ...]  # clean; none means everything

    @classmethod
    def of(cls, listed: Sequence[str]) -> "SparseCheckout":
        cleaned = tuple(_cleaned(directory) for directory in listed)
        return cls(() if "" in cleaned else cleaned)

    def wants(self, path: str) -> bool:
        """This file."""
        folder = path.rpartition("/")[0]
        return not self.directories or any(
            _is_below(folder, directory) or _is_below(directory, folder)
            for directory in self.directories
        )

    def reaches(self, directory: str) -> bool:
        """Something that is in this directory."""
        return not self.directories or any(
            _is_below(directory, wanted) or _is_below(wanted, directory)
            for wanted in self.directories
        )

    def inside(self, prefix: str) -> dict[str, str]:
        """The directories that lie below the prefix ("" or with its slash): there -> as listed."""
        return {
            directory.removeprefix(prefix): directory
            for directory in self.directories
            if directory.startswith(prefix)
        }


def _cleaned(directory: str) -> str:
    parts = [part for part in directory.removeprefix("./").split("/") if part]
    return "" if parts == ["."] else "/".join(parts)


def _is_below(path: str, directory: str) -> bool:
    return not directory or path == directory or path.startswith(f"{directory}/")
