"""Inputs that nobody would write, by the hundred thousand, the same ones for the same seed.

A `Mutator` takes samples of a corpus and damages them: bits flip, pieces are cut, repeated, moved
and exchanged with other samples', numbers become those at a boundary, hostile tokens are put in. A
`Campaign` gives so many of them to a target and keeps the input that the target could not bear.
"""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

NUMBERS = (b"0", b"-1", b"1e9", b"255", b"256", b"65536", b"4294967296", b"18446744073709551616")
ANYWHERE = (
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b"..",
    b"/",
    b"\\",
    b"'",
    b'"',
    b" ",
    b"@",
    b":",
    b"%00",
)
_MOST_CHANGES = 4
_PATIENCE = 1.0  # seconds of processor time for one input, however it was made


class Mutator:
    def __init__(
        self,
        corpus: Sequence[bytes],
        tokens: Sequence[bytes] = (),
        *,
        longest: int = 4096,
        seed: int = 0,
    ) -> None:
        self.random = random.Random(seed)
        self._corpus = corpus
        self._tokens = (*tokens, *ANYWHERE)
        self._longest = longest
        self._ways = (
            self._flip,
            self._insert,
            self._overwrite,
            self._remove,
            self._repeat,
            self._splice,
            self._truncate,
            self._renumber,
        )

    def sample(self) -> bytes:
        made = self.random.choice(self._corpus)
        for _ in range(self.random.randint(1, _MOST_CHANGES)):
            made = self.random.choice(self._ways)(made)[: self._longest]
        return made

    def _place(self, given: bytes) -> int:
        return self.random.randint(0, len(given))

    def _piece(self, given: bytes) -> tuple[int, int]:
        start = self._place(given)
        return start, min(len(given), start + self.random.choice((1, 2, 4, 16, 64)))

    def _flip(self, given: bytes) -> bytes:
        start, end = self._piece(given)
        flipped = bytes(byte ^ 1 << self.random.randrange(8) for byte in given[start:end])
        return given[:start] + flipped + given[end:]

    def _insert(self, given: bytes) -> bytes:
        at = self._place(given)
        return given[:at] + self.random.choice(self._tokens) + given[at:]

    def _overwrite(self, given: bytes) -> bytes:
        """All else stays where it is, as formats of fixed places need it."""
        at, token = self._place(given), self.random.choice(self._tokens)
        return given[:at] + token + given[at + len(token) :]

    def _remove(self, given: bytes) -> bytes:
        start, end = self._piece(given)
        return given[:start] + given[end:]

    def _repeat(self, given: bytes) -> bytes:
        start, end = self._piece(given)
        return given[:start] + given[start:end] * self.random.choice((2, 3, 20)) + given[end:]

    def _splice(self, given: bytes) -> bytes:
        other = self.random.choice(self._corpus)
        return given[: self._place(given)] + other[self._place(other) :]

    def _truncate(self, given: bytes) -> bytes:
        return given[: self._place(given)]

    def _renumber(self, given: bytes) -> bytes:
        start = end = self._place(given)
        while end < len(given) and 48 <= given[end] <= 57:
            end += 1
        return given[:start] + self.random.choice(NUMBERS) + given[end:]


@dataclass(frozen=True)
class Campaign:
    """`seed` None: another one each time."""

    inputs: int
    seed: int | None = None

    def run(
        self,
        mutator: Mutator,
        target: Callable[[bytes], object],
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Fails with the first input for which the target raises anything, or takes too long."""
        seed = int.from_bytes(os.urandom(4)) if self.seed is None else self.seed
        mutator.random.seed(seed)
        begun = time.thread_time()
        slowest = self._given(mutator, target, f"seed {seed}")
        if say and self.seed is None:
            taken = time.thread_time() - begun
            say(f"{self.inputs} inputs, seed {seed}: {taken:.0f} s, slowest {slowest * 1e3:.1f} ms")

    def _given(self, mutator: Mutator, target: Callable[[bytes], object], origin: str) -> float:
        slowest = 0.0
        for number in range(self.inputs):
            sample = mutator.sample()
            before = time.thread_time()
            try:
                target(sample)
            except Exception as error:
                raise AssertionError(f"input {number} of {origin}: {_kept(sample)}") from error
            taken = time.thread_time() - before
            slowest = max(slowest, taken)
            assert taken < _PATIENCE, f"{taken:.1f} s for {number} of {origin}: {_kept(sample)}"
        return slowest


IN_CI = pytest.param(Campaign(100_000, seed=20_260_101), id="100,000 inputs")
SOAK = pytest.param(
    Campaign(500_000),
    id="500,000 inputs",
    marks=[pytest.mark.soak, pytest.mark.timeout(7200)],
)


def campaigns(test: Callable[..., None]) -> Callable[..., None]:
    """The test runs with a `campaign`: short and always the same, or long and another each time."""
    limited: Callable[..., None] = pytest.mark.timeout(240)(test)
    twice: Callable[..., None] = pytest.mark.parametrize("campaign", [IN_CI, SOAK])(limited)
    return twice


def _kept(sample: bytes) -> str:
    file, name = tempfile.mkstemp(prefix="fuzz-")
    os.close(file)
    Path(name).write_bytes(sample)
    return f"{sample!r}, saved as {name}"


def texts(samples: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(sample.encode() for sample in samples)
