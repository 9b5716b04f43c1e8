"""gzip at isal's speed, or zlib's where isal has no wheel; `shared.archive` is its only user.

The level is fixed, because the digest of an artifact is that of its packed bytes.
"""

import gzip
import zlib
from typing import Any, BinaryIO, cast

_WINDOW = 31  # zlib's number for "gzip header and trailer, largest window"
_RAW = -15  # and for neither of them

BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error)

try:
    import isal
    from isal import igzip, isal_zlib
except ImportError:
    FAST = False
else:
    FAST = True
    # isal's stubs call its exception class an instance.
    BROKEN = (*BROKEN, cast("type[Exception]", isal_zlib.error))


# Another packer, or another version of it, may give other bytes.
NAME = f"isal {isal.__version__} 2" if FAST else f"zlib {zlib.ZLIB_RUNTIME_VERSION} 6"


def compressor() -> Any:
    """An object with zlib's `compress` and `flush`."""
    return _compressor(_WINDOW)


def raw_compressor() -> Any:
    """The same without gzip's header and trailer."""
    return _compressor(_RAW)


def crc32(content: bytes, before: int = 0) -> int:
    """gzip's checksum, going on from that of what came before."""
    return int(isal_zlib.crc32(content, before)) if FAST else zlib.crc32(content, before)


def reader(stream: BinaryIO) -> gzip.GzipFile:
    """Inflates as it is read, never more than was asked for; raises one of `BROKEN`."""
    opener: Any = igzip.IGzipFile if FAST else gzip.GzipFile
    opened: gzip.GzipFile = opener(fileobj=stream, mode="rb")
    return opened


def _compressor(window: int) -> Any:
    if FAST:
        return isal_zlib.compressobj(2, zlib.DEFLATED, window)
    return zlib.compressobj(6, zlib.DEFLATED, window)
