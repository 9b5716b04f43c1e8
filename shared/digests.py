"""The digests that an artifact may have, `<algorithm>:<hexadecimal>`, behind one function.

blake3 is no part of Python's own library and loaded by whoever meets one.
"""

import hashlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

# With how many hexadecimal digits each is written.
ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128, "blake3": 64}
_CHUNK = 1024 * 1024


class InvalidDigest(ValueError):
    """Not a digest, or none that we can make; the message says which can."""


class Hasher(Protocol):
    def update(self, data: bytes | memoryview, /) -> Any: ...

    def hexdigest(self) -> str: ...


def hasher(algorithm: str) -> Hasher:
    """Raises InvalidDigest."""
    if algorithm not in ALGORITHMS:
        raise InvalidDigest(f"{algorithm[:200]!r} is none of {', '.join(ALGORITHMS)}")
    if algorithm == "blake3":
        return _blake3()()
    return hashlib.new(algorithm)


def algorithm_of(digest: str) -> str:
    """Raises InvalidDigest for what is not a whole digest."""
    algorithm, _, digits = digest.partition(":")
    if len(digits) != ALGORITHMS.get(algorithm) or digits.strip("0123456789abcdef"):
        raise InvalidDigest(f"digest {digest[:200]!r} is none of {', '.join(ALGORITHMS)}")
    return algorithm


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    made = hasher(algorithm)
    made.update(content)
    return f"{algorithm}:{made.hexdigest()}"


def file_digest(file: BinaryIO, algorithm: str) -> str:
    """Of what is left to read of it."""
    made = hasher(algorithm)
    while piece := file.read(_CHUNK):
        made.update(piece)
    return f"{algorithm}:{made.hexdigest()}"


def _blake3() -> Callable[[], Hasher]:
    try:
        from blake3 import blake3
    except ImportError as error:
        raise InvalidDigest("blake3 is not installed here; use sha256") from error
    made: Callable[[], Hasher] = blake3
    return made
