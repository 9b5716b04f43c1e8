r"""Globs over `/`-separated paths: `*`, `?`, `[a-z]`, `{yaml,yml}`, `\`, and `**` for any depth.

`{app}` stands for a capture of `spec.pathPattern`: in the pattern itself for one name or a part of
it, elsewhere for the text that was found there, whatever characters that has. RE2 does the
matching, so no glob is a bomb; and no glob leads out of the tree, because `..` is no part of one.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import re2

from services.source.generator.path_text import CAPTURE, PathError, clean_parts, filled

LONGEST = 1024
LONGEST_TOGETHER = 256 * 1024  # all expressions of one generator: seconds, if somebody means harm
_DEEP = "**"
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_LITERAL = re.compile(rf"\\.|{CAPTURE.pattern}|[^*?\[{{\\]", re.DOTALL)

_Capture = Callable[[str], str]  # from a capture's name to an expression


class Glob(NamedTuple):
    """`fixed` is the path before the first wildcard: all matches lie there, or below.

    Without an expression everything below does match.
    """

    fixed: str
    is_wild: bool
    expression: "re2._Regexp | None"

    @classmethod
    def parse(cls, text: str, captures: Mapping[str, str]) -> "Glob":
        """Matches a path, and all that is below a directory that it matches."""
        parts = _parts(text)
        fixed: list[str] = []
        for part in parts:
            if _LITERAL.sub("", part):
                break  # what is left of it are wildcards
            fixed.append(_unescaped(part, captures))
        wild = parts[len(fixed) :]
        if not wild or wild == [_DEEP]:
            return cls("/".join(fixed), bool(wild), None)
        expression = _expression(parts, _known(captures))
        below = "" if parts[-1] == _DEEP else "(?:/.*)?"
        return cls("/".join(fixed), True, compiled(expression + below))

    def matches(self, path: str) -> bool:
        return self.expression is None or self.expression.fullmatch(path) is not None


def excluding(globs: Iterable[str], captures: Mapping[str, str]) -> "re2._Regexp | None":
    """What `exclude` leaves out: one expression for all of it; None for nothing.

    A glob without a slash means file names at any depth; one that ends with it all in a directory.
    """
    expressions = [_excluded(glob, captures) for glob in globs]
    return compiled("|".join(f"(?:{each})" for each in expressions)) if expressions else None


def _excluded(glob: str, captures: Mapping[str, str]) -> str:
    parts = _parts(glob)
    if glob.endswith("/"):
        parts.append(_DEEP)
    if not parts:
        raise PathError(f"{glob!r} matches nothing")
    any_depth = "(?:.*/)?" if "/" not in glob else ""
    return any_depth + _expression(parts, _known(captures))


class Pattern(NamedTuple):
    """A glob that takes the text of its captures out of the directories that it matches."""

    expression: "re2._Regexp"
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        names: list[str] = []

        def capture(name: str) -> str:
            if name in names:
                raise PathError(f"{text!r} captures {{{name}}} twice")
            names.append(name)
            return "([^/]+)"

        expression = _expression(_parts(text), capture)
        return cls(compiled(expression), tuple(names))

    def captures(self, directory: str) -> dict[str, str] | None:
        found = self.expression.fullmatch(directory)
        return dict(zip(self.names, found.groups(), strict=True)) if found else None


def compiled(expression: str) -> "re2._Regexp":
    try:
        return re2.compile(f"(?s:{expression})", _OPTIONS)
    except re2.error as error:
        raise PathError("the globs are too large, or a [class] in them is not one") from error


def _parts(text: str) -> list[str]:
    if len(text) > LONGEST:
        raise PathError(f"{text[:50]!r}… is longer than {LONGEST} characters")
    return clean_parts(text)


def _known(captures: Mapping[str, str]) -> _Capture:
    return lambda name: _quoted(filled(f"{{{name}}}", captures))


def _expression(parts: list[str], capture: _Capture) -> str:
    expression = ""
    for place, part in enumerate(parts):
        is_last = place == len(parts) - 1
        if part == _DEEP:
            expression += ".*" if is_last else "(?:.*/)?"
        else:
            expression += _Name(part, capture).expression() + ("" if is_last else "/")
    return expression


class _Name:
    """One name of a glob, read from left to right."""

    def __init__(self, text: str, capture: _Capture) -> None:
        self._text = text
        self._at = 0
        self._capture = capture
        self._in_braces = False

    def expression(self, ends: str = "") -> str:
        """Up to the end, or to one of the characters `ends`, which is not taken."""
        pieces = []
        while self._at < len(self._text) and self._text[self._at] not in ends:
            pieces.append(self._piece())
        return "".join(pieces)

    def _piece(self) -> str:
        character = self._text[self._at]
        if character == "{":
            return self._braces()
        self._at += 1
        match character:
            case "*":
                return "[^/]*"
            case "?":
                return "[^/]"
            case "[":
                return self._class()
            case "\\":
                return _quoted(self._escaped())
            case _:
                return _quoted(character)

    def _braces(self) -> str:
        if found := CAPTURE.match(self._text, self._at):
            self._at = found.end()
            return self._capture(found[1])
        if self._in_braces:
            raise PathError(f"{self._text!r} has braces in braces")
        self._in_braces = True
        alternatives = []
        while self._text.startswith(("{", ","), self._at):
            self._at += 1
            alternatives.append(self.expression(ends=",}"))
        if not self._text.startswith("}", self._at):
            raise PathError(f"{self._text!r} has a brace that is not closed")
        self._at += 1
        self._in_braces = False
        return f"(?:{'|'.join(alternatives)})"

    def _class(self) -> str:
        negated = self._text.startswith(("!", "^"), self._at)
        self._at += negated
        start, members = self._at, ""
        while (character := self._text[self._at : self._at + 1]) and (
            character != "]" or self._at == start
        ):
            self._at += 1
            if character == "\\":
                character = self._escaped()
                members += _quoted(character)
            else:
                members += "-" if character == "-" else _quoted(character)
        if not character:
            raise PathError(f"{self._text!r} has a bracket that is not closed")
        self._at += 1
        return f"[^/{members}]" if negated else f"[{members}]"

    def _escaped(self) -> str:
        if self._at >= len(self._text):
            raise PathError(f"{self._text!r} ends with a backslash")
        self._at += 1
        return self._text[self._at - 1]


def _quoted(text: str) -> str:
    return str(re2.escape(text))


def _unescaped(part: str, captures: Mapping[str, str]) -> str:
    """A name without wildcards, as it is in the tree."""
    text, at = "", 0
    while at < len(part):
        if found := CAPTURE.match(part, at):
            text, at = text + filled(found[0], captures), found.end()
        else:
            at += part[at] == "\\"
            text, at = text + part[at : at + 1], at + 1
    return text
