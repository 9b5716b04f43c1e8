"""One artifact as it is put together: each operation sees what the ones before it have done."""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.source.generator.copy_operation import EXTRACT, MERGE, Copied, Copy, CopyError
from services.source.generator.merge_strategy import is_yaml, merged_files
from services.source.generator.tree import Tree
from services.source.generator.workbench import Piece, Workbench
from shared.archive import ArchiveError, Entry, unpack

_ARCHIVES = (".tar.gz", ".tgz")


@dataclass
class Budget:
    """What all artifacts of one generator may cost together: nobody needs a tenth of it."""

    steps: int = 2_000_000  # paths compared with globs: half a minute at most
    files: int = 200_000
    size: int = 1024 * 1024 * 1024

    def work(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise CopyError("from", "the globs look at too many files; begin them with directories")

    def hold(self, piece: Piece) -> None:
        self.files -= 1
        self.size -= piece.size
        if self.files < 0 or self.size < 0:
            raise CopyError(
                "from",
                "the artifacts have more than 200000 files or 1024 MiB together; "
                "make several ArtifactGenerators of this one",
            )


class Assembly:
    def __init__(self, bench: Workbench, budget: Budget) -> None:
        self._bench = bench
        self._budget = budget
        self._files: dict[str, Piece] = {}
        self._folders: set[str] = set()

    def copy(self, copy: Copy, tree: Tree) -> None:
        """Raises CopyError, and TooMuch when the bench is full."""
        self._budget.work(copy.weight)  # it was compiled for this artifact
        some = False
        for copied in copy.files(tree, self._folders.__contains__, self._budget.work):
            if copy.strategy == EXTRACT:
                some |= self._extract(copied, copy.to.path)
            elif copy.strategy == MERGE:
                self._merge(copied)
            else:
                self._put(copied.path, copied.piece)
        if copy.strategy == EXTRACT and not some:
            raise CopyError("strategy", "Extract takes .tar.gz and .tgz files, and there is none")

    def entries(self) -> Iterator[Entry]:
        """In the order that an archive needs."""
        for path in sorted(self._files, key=str.encode):
            piece = self._files[path]
            yield Entry(path, 0o700 if piece.executable else 0o600, self._bench.content(piece))

    def listing(self) -> "Listing":
        lines = (
            f"{piece.digest.hex()} {'x' if piece.executable else '-'} {path}\n".encode()
            for path, piece in sorted(self._files.items())
        )
        return Listing.of(lines)

    def __len__(self) -> int:
        return len(self._files)

    def _put(self, path: str, piece: Piece) -> None:
        if path in self._folders:
            raise CopyError("to", f"{path!r} is a directory, and would become a file")
        if path not in self._files:
            self._enter(path)
        self._budget.hold(piece)
        self._files[path] = piece

    def _enter(self, path: str) -> None:
        while (path := path.rpartition("/")[0]) and path not in self._folders:
            if path in self._files:
                raise CopyError("to", f"{path!r} is a file, and would become a directory")
            self._folders.add(path)

    def _merge(self, copied: Copied) -> None:
        """Of YAML; any other file that is there already is replaced."""
        there = self._files.get(copied.path)
        if there is None or not is_yaml(copied.path):
            self._put(copied.path, copied.piece)
            return
        base, over = self._bench.content(there), self._bench.content(copied.piece)
        content = merged_files(base, over, copied.path)
        self._put(copied.path, self._bench.put(content, executable=there.executable))

    def _extract(self, copied: Copied, to: str) -> bool:
        """Its contents land where the archive would have; whether it is an archive at all."""
        if not copied.name.endswith(_ARCHIVES):
            return False
        folder = to if copied.alone else copied.path.rpartition("/")[0]
        try:
            for entry in unpack(self._bench.content(copied.piece)):
                piece = self._bench.put(entry.content, executable=bool(entry.mode & 0o111))
                self._put(f"{folder}/{entry.path}" if folder else entry.path, piece)
        except ArchiveError as error:
            problem = f"{copied.name!r} cannot be extracted: {error}"
            raise CopyError("strategy", problem) from error
        return True


@dataclass(frozen=True)
class Listing:
    """What an artifact holds, in two sizes: equal fingerprints are equal artifacts."""

    fingerprint: bytes
    checksum: int  # names the file, as Flux does

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> "Listing":
        fingerprint, checksum = hashlib.sha256(), zlib.adler32(b"")
        for line in lines:
            fingerprint.update(line)
            checksum = zlib.adler32(line, checksum)
        return cls(fingerprint.digest(), checksum)
