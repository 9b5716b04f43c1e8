"""gzip at isal's speed, or zlib's where isal has no wheel; `shared.archive` is its only user.

The level is fixed, because the digest of an artifact is that of its packed bytes.
"""

import gzip
import zlib
from typing import Any, BinaryIO, cast

_WINDOW = 31  # zlib's number for "gzip header and trailer, largest window"

BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error)

try:
    from isal import igzip, isal_zlib
except ImportError:
    FAST = False
else:
    FAST = True
    # isal's stubs call its exception class an instance.
    BROKEN = (*BROKEN, cast("type[Exception]", isal_zlib.error))


def compressor() -> Any:
    """An object with zlib's `compress` and `flush`."""
    if FAST:
        return isal_zlib.compressobj(2, zlib.DEFLATED, _WINDOW)
    return zlib.compressobj(6, zlib.DEFLATED, _WINDOW)


def reader(stream: BinaryIO) -> gzip.GzipFile:
    """Inflates as it is read, never more than was asked for; raises one of `BROKEN`."""
    opener: Any = igzip.IGzipFile if FAST else gzip.GzipFile
    opened: gzip.GzipFile = opener(fileobj=stream, mode="rb")
    return opened
