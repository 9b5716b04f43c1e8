"""Cuts what a shell pattern (`*`, `?`, `[a-z]`) matches off either end of a text.

Written without regular expressions, whose time a pattern of many stars can make endless: here it is
at most the product of both lengths, which is bounded.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

MAX_STEPS = 4_000_000

_Test: TypeAlias = Callable[[str], bool] | None  # None is a star


class PatternTooLong(ValueError): ...


def trim_prefix(value: str, pattern: str, *, longest: bool) -> str:
    lengths = _matching(value, list(_tests(pattern)))
    if not lengths:
        return value
    return value[max(lengths) if longest else min(lengths) :]


def trim_suffix(value: str, pattern: str, *, longest: bool) -> str:
    lengths = _matching(value[::-1], list(_tests(pattern))[::-1])
    if not lengths:
        return value
    return value[: len(value) - (max(lengths) if longest else min(lengths))]


def _matching(value: str, tests: list[_Test]) -> set[int]:
    """Every n for which the tests match exactly the first n characters."""
    if len(value) * len(tests) > MAX_STEPS:
        raise PatternTooLong("the pattern is too long for a value of this length")
    reached = {0}
    for test in tests:
        if not reached:
            break
        if test is None:
            reached = set(range(min(reached), len(value) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(value) and test(value[at])}
    return reached


def _tests(pattern: str) -> Iterator[_Test]:
    characters = iter(enumerate(pattern))
    for at, character in characters:
        end = pattern.find("]", at + 2) if character == "[" else -1
        if character == "*":
            yield None
        elif character == "?":
            yield lambda _: True
        elif end > 0:
            yield _one_of(pattern[at + 1 : end])
            for _ in range(end - at):
                next(characters)
        elif character == "\\" and at + 1 < len(pattern):
            yield next(characters)[1].__eq__
        else:
            yield character.__eq__


def _one_of(inside: str) -> Callable[[str], bool]:
    negated = inside[:1] in ("!", "^")
    members = inside[1:] if negated else inside
    ranges: list[tuple[str, str]] = []
    at = 0
    while at < len(members):
        is_range = members[at + 1 : at + 2] == "-" and at + 2 < len(members)
        ranges.append((members[at], members[at + 2] if is_range else members[at]))
        at += 3 if is_range else 1
    return lambda character: negated != any(low <= character <= high for low, high in ranges)
