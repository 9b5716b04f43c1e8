"""Small repositories and charts: dicts from path to text, packed into archives or written out."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

Files: TypeAlias = Mapping[str, str | bytes]


def pack(folder: Path, files: Files) -> Path:
    """An archive named after what it holds, so that the same files are the same archive."""
    return pack_entries(folder, [entry(path, content) for path, content in files.items()])


def pack_chart(folder: Path, files: Files, name: str = "web") -> Path:
    return pack(folder, {f"{name}/{path}": content for path, content in files.items()})


def entry(path: str, content: str | bytes = b"", **header: object) -> tuple[tarfile.TarInfo, bytes]:
    """A tar entry with the header that the test asks for, however odd."""
    content = _bytes(content)
    info = tarfile.TarInfo(path)
    info.size = len(content)
    for name, value in header.items():
        setattr(info, name, value)
    return info, content


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def pack_entries(folder: Path, entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    target = folder / f"{digest_of(buffer.getvalue())}.tgz"
    target.write_bytes(buffer.getvalue())
    return target


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_out(folder: Path, files: Files) -> Path:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_bytes(content))
    return folder
