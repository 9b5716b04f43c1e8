r"""One line of a gitignore file as a regular expression over `/`-separated paths.

Whoever may push to a repository writes these lines, and the names that they meet. So the expression
never goes back on a wildcard: after `*` or `**` the first place where the next piece fits is taken
for good (an atomic group), which is always enough and keeps the cost proportional to the path.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

_ANY = r"[^/]"
_END = r"(?=/|\Z)"


class Line(NamedTuple):
    """`expression` matches at the start of the path, or of any name in it if not `anchored`.

    What lies below a directory that it matches is matched too.
    """

    expression: str
    anchored: bool
    excludes: bool


def parse(line: str) -> Line | None:
    """None for a line that matches nothing: blank, a comment, or not a pattern."""
    line = _without_trailing_spaces(line.rstrip("\r\n"))
    if not line or line.startswith("#"):
        return None
    excludes = not line.startswith("!")
    pattern = line if excludes else line[1:]
    try:
        return _path(pattern, excludes=excludes)
    except NotAPattern:
        return None


def searched(lines: Sequence[Line]) -> re.Pattern[str]:
    """One expression to search with, for all of these lines: it costs little more than one."""
    alternatives = []
    for anchored, start in ((True, "^"), (False, "(?:^|/)")):
        if expressions := [line.expression for line in lines if line.anchored is anchored]:
            alternatives.append(f"{start}(?:{'|'.join(expressions)})")
    return re.compile("|".join(alternatives))


class NotAPattern(Exception):
    """Git ignores such a line, and so do we."""


def _without_trailing_spaces(line: str) -> str:
    stripped = line.rstrip(" ")
    escapes = len(stripped) - len(stripped.rstrip("\\"))
    return line[: len(stripped) + 1] if escapes % 2 and stripped != line else stripped


def _path(pattern: str, *, excludes: bool) -> Line:
    only_directories = pattern.endswith("/")
    body = pattern.rstrip("/") if only_directories else pattern
    anchored = "/" in body
    segments = ["**" if _is_deep(part) else part for part in body.removeprefix("/").split("/")]
    if segments == [""]:
        raise NotAPattern
    if only_directories and segments[-1] == "**":
        segments.append("*")
    expression = _segments(segments) + ("/" if only_directories else "")
    return Line(expression, anchored, excludes)


def _is_deep(part: str) -> bool:
    """`**`, which git may be given more stars for."""
    return len(part) > 1 and not part.strip("*")


def _segments(segments: list[str]) -> str:
    """`**` stands for any number of directories; between two of them lie groups of plain names."""
    groups: list[list[str]] = [[]]
    for part in segments:
        if part == "**":
            groups.append([])
        else:
            groups[-1].append(part)
    first, *others = ["/".join(map(segment, group)) for group in groups]
    expression = first
    for index, group in enumerate(others):
        if not group and index < len(others) - 1:
            continue  # `**/**` is `**`
        slash = "/" if expression else ""
        inside = rf"(?:[^/]*/)*?{group}{_END}" if group else "."
        expression += f"(?>{slash}{inside})"
    return expression + ("" if others else _END)


def segment(glob: str) -> str:
    """One name, by its pieces between the stars; raises NotAPattern."""
    first, *rest = _pieces(glob)
    if not rest:
        return first
    *middle, last = rest
    skips = "".join(rf"(?>{_ANY}*?{piece})" for piece in middle if piece)
    return rf"{first}{skips}{_ANY}*{last}{_END}"


def _pieces(glob: str) -> list[str]:
    pieces, position = [""], 0
    while position < len(glob):
        character = glob[position]
        position += 1
        if character == "*":
            pieces.append("")
        elif character == "?":
            pieces[-1] += _ANY
        elif character == "[":
            text, position = _class(glob, position)
            pieces[-1] += text
        else:
            if character == "\\":
                character, position = _escaped(glob, position)
            pieces[-1] += re.escape(character)
    return pieces


def _escaped(glob: str, position: int) -> tuple[str, int]:
    if position >= len(glob):
        raise NotAPattern
    return glob[position], position + 1


def _class(glob: str, position: int) -> tuple[str, int]:
    """From behind `[` to behind `]`."""
    negated = glob[position : position + 1] in ("!", "^")
    position += negated
    start = position
    members = ""
    while position < len(glob) and (glob[position] != "]" or position == start):
        member, position = _member(glob, position)
        members += re.escape(member)
        if glob[position : position + 1] == "-" and glob[position + 1 : position + 2] != "]":
            member, position = _member(glob, position + 1)
            members += f"-{re.escape(member)}"
    if position >= len(glob):
        raise NotAPattern
    return _checked(f"(?!/)[{'^' if negated else ''}{members}]"), position + 1


def _member(glob: str, position: int) -> tuple[str, int]:
    """A character of a class, and what is behind it."""
    if glob[position : position + 1] == "\\":
        position += 1
    return _escaped(glob, position)


def _checked(expression: str) -> str:
    try:
        re.compile(expression)
    except re.error as error:  # a range that runs backwards
        raise NotAPattern from error
    return expression
