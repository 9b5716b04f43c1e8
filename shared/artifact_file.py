"""An artifact in the making: written once from front to back, hashed as it is written.

Whoever fills it may `note` which paths it holds: that becomes the artifact's path index. What an
`earlier` artifact of the same owner holds may be copied from there, once it was checked.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import msgspec

from shared.digests import hasher

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Growing(Protocol):
    """What packers write into."""

    @property
    def earlier(self) -> Path | None: ...

    @property
    def size(self) -> int: ...

    @property
    def digest(self) -> str:
        """Of all that was written so far."""

    def write(self, content: bytes, /) -> int: ...

    def note(self, path: str, digest: str) -> None:
        """`digest` identifies the content at the path; equal ones are equal contents."""


def growing(into: BinaryIO) -> Growing:
    """The file itself if it is an artifact; what goes into any other is counted and hashed here."""
    return into if isinstance(into, ArtifactFile) else _Counted(into)


class ArtifactFile(io.BufferedWriter):
    def __init__(self, path: Path, algorithm: str = "sha256", earlier: Path | None = None) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self.path = path
        self.earlier = earlier
        self.size = 0
        self.paths: dict[str, str] = {}
        self._algorithm = algorithm
        self._hasher = hasher(algorithm)

    def write(self, content: "ReadableBuffer", /) -> int:
        with memoryview(content) as view:
            self._hasher.update(view)
            self.size += view.nbytes
        return super().write(content)

    @property
    def digest(self) -> str:
        return f"{self._algorithm}:{self._hasher.hexdigest()}"

    def note(self, path: str, digest: str) -> None:
        self.paths[path] = digest


class _Counted:
    """Of some other file, what would be told of an artifact."""

    earlier = None

    def __init__(self, into: BinaryIO) -> None:
        self.size = 0
        self._into = into
        self._hasher = hasher("sha256")

    @property
    def digest(self) -> str:
        return f"sha256:{self._hasher.hexdigest()}"

    def write(self, content: bytes, /) -> int:
        self._hasher.update(content)
        self.size += len(content)
        return self._into.write(content)

    def note(self, path: str, digest: str) -> None:
        """Nobody will ask for its index."""


def path_index(paths: Mapping[str, str]) -> bytes:
    """The document that says which content is where. Names that no YAML can mean stay out."""
    told = {path: digest for path, digest in paths.items() if _is_unicode(path)}
    return msgspec.json.encode({"paths": told}, order="sorted") if told else b""


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
