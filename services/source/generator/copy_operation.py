"""`copy`: what one operation takes from a source, and where each file of it lands.

A file lands at `to`, or in it when that is a directory (it ends with a slash, or is one already).
A directory lands under `to` with its own name. What a glob matches keeps its path below the glob's
fixed part: so `dir/**` copies the contents of `dir`. `exclude` looks at paths from the source's
root and from that fixed part.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from services.source.generator.path_glob import Glob, excluding
from services.source.generator.path_text import Destination, Reference
from services.source.generator.tree import Tree
from services.source.generator.workbench import Piece
from shared.resources.source.artifact_generator import CopyOperation

WEIGHT_OF_A_STEP = 4096  # characters of expression times path: what RE2 does as the call is made
OVERWRITE, MERGE, EXTRACT = "Overwrite", "Merge", "Extract"


class CopyError(Exception):
    """The source has not what the operation asks for, or it does not fit; says which field."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")


class Copied(NamedTuple):
    """A file of a source; `path` is in the artifact, `alone` the operation names this one file."""

    name: str
    path: str
    piece: Piece
    alone: bool


class Copy:
    def __init__(self, operation: CopyOperation, captures: Mapping[str, str]) -> None:
        """Raises PathError."""
        self.alias, path = Reference.parse(operation.from_)
        self.strategy = operation.strategy or OVERWRITE
        self.to = Destination.parse(operation.to, captures)
        self._from = operation.from_
        self._glob = Glob.parse(path, captures)
        self._wants_directory = path.endswith("/")
        self._excluded = excluding(operation.exclude, captures)
        compiled = (self._glob.expression, self._excluded)
        self.weight = sum(len(each.pattern) for each in compiled if each is not None)

    def files(
        self, tree: Tree, is_folder: Callable[[str], bool], spend: Callable[[int], None]
    ) -> Iterator[Copied]:
        """In the order of their paths; `spend` is told what it costs to look at each."""
        found = False
        for path, below, copied in self._candidates(tree, is_folder):
            spend(1 + self.weight * len(path) // WEIGHT_OF_A_STEP)
            if not self._glob.matches(path):
                continue
            found = True
            if not self._is_excluded(path, below):
                yield copied
        if not found:
            raise CopyError("from", f"nothing in the source matches {self._from!r}")

    def _candidates(
        self, tree: Tree, is_folder: Callable[[str], bool]
    ) -> Iterator[tuple[str, str, Copied]]:
        """With its path in the source, that below the fixed part, and where it would land."""
        fixed = self._glob.fixed
        piece = None if self._glob.is_wild or self._wants_directory else tree.get(fixed)
        name = fixed.rpartition("/")[2]
        if piece is not None:
            into = self.to.is_folder or is_folder(self.to.path)
            lands = _join(self.to.path, name) if into else self.to.path
            yield fixed, name, Copied(name, lands, piece, alone=True)
            return
        root = self.to.path if self._glob.is_wild else _join(self.to.path, name)
        for path, piece in tree.below(fixed):
            below = path[len(fixed) + 1 :] if fixed else path
            copied = Copied(path.rpartition("/")[2], _join(root, below), piece, alone=False)
            yield path, below, copied

    def _is_excluded(self, path: str, below: str) -> bool:
        if self._excluded is None:
            return False
        return any(self._excluded.fullmatch(each) is not None for each in (path, below))


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name
