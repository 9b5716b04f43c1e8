"""Versions and ranges as Masterminds/semver reads them: what users of Helm and Flux write.

`Range.parse("^1.2 || >=3.0.0-0 <4").accepts(version)`; a pre-release only when the range itself
names one (`-0` does), because nobody wants a release candidate by accident.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import total_ordering

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SUFFIX = rf"(?:-(?P<pre>{_IDENTIFIERS}))?(?:\+(?P<build>{_IDENTIFIERS}))?"
_NUMBER = r"[0-9]+"
_VERSION = re.compile(
    rf"v?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER}))?(?:\.(?P<patch>{_NUMBER}))?{_SUFFIX}",
    re.ASCII,
)
_PART = r"(?:[0-9]+|[xX*])"
_PARTIAL = rf"v?{_PART}(?:\.{_PART})?(?:\.{_PART})?(?:-{_IDENTIFIERS})?(?:\+{_IDENTIFIERS})?"
_TERM = re.compile(
    rf"(?P<operator>=>|>=|=<|<=|!=|~>|[=<>~^])?\s*v?(?P<major>{_PART})"
    rf"(?:\.(?P<minor>{_PART}))?(?:\.(?P<patch>{_PART}))?{_SUFFIX}",
    re.ASCII,
)
_BETWEEN = re.compile(rf"\s*({_PARTIAL})\s+-\s+({_PARTIAL})\s*", re.ASCII)
_SEPARATOR = re.compile(r"\s*,\s*|\s+")
_LONGEST = 256  # no real version or range is longer; the patterns need not meet one that is
_UINT64 = 1 << 64


class InvalidVersion(ValueError):
    """Says what was given; versions and ranges are no secrets."""


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """Ordered by precedence: build metadata does not count."""

    numbers: tuple[int, int, int]
    pre: tuple[str, ...] = ()
    build: str = ""
    text: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Also `v1` and `1.2`; raises InvalidVersion."""
        found = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            raise InvalidVersion(f"{text[:_LONGEST]!r} is not a semantic version")
        numbers = (_number(found["major"]), _number(found["minor"]), _number(found["patch"]))
        pre = _pre_release(found["pre"])
        return cls(numbers, pre, found["build"] or "", text)

    @classmethod
    def parse_strictly(cls, text: str) -> "Version":
        """Three numbers, as tags must have them."""
        if not re.match(r"v?[0-9]+\.[0-9]+\.[0-9]+", text):
            raise InvalidVersion(f"{text[:_LONGEST]!r} has not three numbers")
        return cls.parse(text)

    @classmethod
    def is_valid(cls, text: str) -> bool:
        try:
            cls.parse(text)
        except InvalidVersion:
            return False
        return True

    @property
    def _precedence(self) -> tuple[object, ...]:
        identifiers = tuple((0, int(i), "") if i.isdigit() else (1, 0, i) for i in self.pre)
        return (self.numbers, not self.pre, identifiers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._precedence == other._precedence

    def __hash__(self) -> int:
        return hash(self._precedence)

    def __lt__(self, other: "Version") -> bool:
        return self._precedence < other._precedence


@dataclass(frozen=True)
class _Bound:
    """The version of one term; the first `given` numbers were written, the others are wildcards."""

    version: Version
    given: int

    def part(self, version: Version) -> tuple[int, ...]:
        return version.numbers[: self.given]

    @property
    def written(self) -> tuple[int, ...]:
        return self.part(self.version)


def _equal(version: Version, bound: _Bound) -> bool:
    return version == bound.version if bound.given == 3 else _tilde(version, bound)


def _unequal(version: Version, bound: _Bound) -> bool:
    return version != bound.version if bound.given == 3 else bound.part(version) != bound.written


def _above(version: Version, bound: _Bound) -> bool:
    return version > bound.version if bound.given == 3 else bound.part(version) > bound.written


def _at_most(version: Version, bound: _Bound) -> bool:
    return version <= bound.version if bound.given == 3 else bound.part(version) <= bound.written


def _tilde(version: Version, bound: _Bound) -> bool:
    """Same minor, when one was written; `~0.0.0` is Masterminds' way to say any version."""
    if bound.given == 3 and bound.written == (0, 0, 0):
        return version >= bound.version
    kept = min(bound.given, 2)
    return version >= bound.version and version.numbers[:kept] == bound.written[:kept]


def _caret(version: Version, bound: _Bound) -> bool:
    """The first number that is not zero stays, with all before it."""
    first = next((i for i, number in enumerate(bound.written) if number), bound.given - 1)
    kept = first + 1
    return version >= bound.version and version.numbers[:kept] == bound.written[:kept]


_TESTS: dict[str, Callable[[Version, _Bound], bool]] = {
    "=": _equal,
    "!=": _unequal,
    ">": _above,
    "<": lambda version, bound: version < bound.version,
    ">=": lambda version, bound: version >= bound.version,
    "=>": lambda version, bound: version >= bound.version,
    "<=": _at_most,
    "=<": _at_most,
    "~": _tilde,
    "~>": _tilde,
    "^": _caret,
}


@dataclass(frozen=True)
class Range:
    """Alternatives, each of terms that must all hold."""

    _alternatives: tuple[tuple[tuple[str, _Bound], ...], ...]

    @classmethod
    def parse(cls, text: str) -> "Range":
        """Raises InvalidVersion, also for the empty text."""
        if len(text) > _LONGEST:
            raise InvalidVersion(f"a version range of more than {_LONGEST} characters")
        return cls(tuple(_terms(alternative, text) for alternative in text.split("||")))

    def accepts(self, version: Version) -> bool:
        return any(_all_hold(terms, version) for terms in self._alternatives)


def _all_hold(terms: tuple[tuple[str, _Bound], ...], version: Version) -> bool:
    if version.pre and not any(bound.version.pre for _, bound in terms):
        return False
    return all(_TESTS[operator](version, bound) for operator, bound in terms)


def _terms(alternative: str, whole: str) -> tuple[tuple[str, _Bound], ...]:
    rest = _BETWEEN.sub(r" >=\1 <=\2 ", alternative).strip()
    terms = []
    while found := _TERM.match(rest):
        terms.append(_term(found))
        rest = rest[found.end() :]
        if not rest:
            return tuple(terms)
        if not (separator := _SEPARATOR.match(rest)):
            break
        rest = rest[separator.end() :]
    raise InvalidVersion(f"{whole!r} is not a version range")


def _term(found: re.Match[str]) -> tuple[str, _Bound]:
    written = [found["major"], found["minor"] or "x", found["patch"] or "x"]
    wild = next((i for i, part in enumerate(written) if part in "xX*"), 3)
    numbers = [_number(part) for part in written[:wild]] + [0] * (3 - wild)
    version = Version((numbers[0], numbers[1], numbers[2]), _pre_release(found["pre"]))
    operator = found["operator"] or "="
    if wild == 0:  # `*` is 0.0.0, as an equal it means `~0.0.0`: any version
        return ("~" if operator == "=" else operator, _Bound(version, 3))
    return (operator, _Bound(version, wild))


def _number(text: str | None) -> int:
    number = int(text or 0)
    if number >= _UINT64:
        raise InvalidVersion(f"{text} is too large for a version")
    return number


def _pre_release(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(".")) if text else ()
