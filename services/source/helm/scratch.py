"""Files without a name: what is in them is gone when they are closed, also after a crash."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from services.source.endings import StorageFailed


@contextmanager
def scratch_file(folder: Path) -> Iterator[BinaryIO]:
    """Raises StorageFailed when the disk does not give one."""
    try:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed below)
    except OSError as error:
        problem = f"failed to make a file for a download in {folder}: {error.strerror}"
        raise StorageFailed(problem, reason="CacheOperationFailed") from error
    with file:
        yield cast("BinaryIO", file)
