"""`${var}` in text, with the shell's string functions: pure, strict, and bounded.

    text      = anything, "$$" for a dollar sign, "${" expression "}"
    expression = "#" name | name [ function ]
    function  = "^" "^^" "," ",,"  |  ":-" ":=" ":+" ":?" "=" default  |  ":" offset [ ":" length ]
              | "#" "##" "%" "%%" pattern  |  "/" "//" "/#" "/%" pattern "/" replacement

Arguments may hold expressions themselves. `$var` without braces is left alone.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from services.kustomize.glob_trim import trim_prefix, trim_suffix

MAX_DEPTH = 16
# More than any object may be: etcd takes 1.5 MiB.
MAX_LENGTH = 3 * 1024 * 1024

Variables: TypeAlias = Mapping[str, str]
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_DEFAULTS = (":-", ":=", ":+", ":?", "=")
_CASES: dict[str, Callable[[str], str]] = {
    "^^": str.upper,
    ",,": str.lower,
    "^": lambda value: value[:1].upper() + value[1:],
    ",": lambda value: value[:1].lower() + value[1:],
}
_TRIMS: dict[str, Callable[[str, str], str]] = {
    "##": lambda value, pattern: trim_prefix(value, pattern, longest=True),
    "#": lambda value, pattern: trim_prefix(value, pattern, longest=False),
    "%%": lambda value, pattern: trim_suffix(value, pattern, longest=True),
    "%": lambda value, pattern: trim_suffix(value, pattern, longest=False),
}
_REPLACEMENTS: dict[str, Callable[[str, str, str], str]] = {
    "//": lambda value, old, new: value.replace(old, new) if old else value,
    "/#": lambda value, old, new: new + value[len(old) :] if value.startswith(old) else value,
    "/%": lambda value, old, new: (
        value[: len(value) - len(old)] + new if value.endswith(old) else value
    ),
    "/": lambda value, old, new: value.replace(old, new, 1) if old else value,
}
# Where one sign begins another, the longer one is meant.
_SIGNS = (*_DEFAULTS, *_CASES, *_TRIMS, *_REPLACEMENTS, ":")


class SubstitutionError(ValueError):
    """The expression is wrong, or a variable has no value; never holds a value."""


def substitute(text: str, variables: Variables, *, strict: bool = True) -> str:
    """With `strict`, variables that have neither a value nor a default are an error."""
    reader = _Reader(text, variables)
    result = reader.text(0, "")
    if strict and reader.unset:
        names = ", ".join(f'"{name}"' for name in reader.unset)
        raise SubstitutionError(f"variable not set (strict mode): {names}")
    return result


class _Reader:
    """Reads the text once, from left to right."""

    def __init__(self, text: str, variables: Variables) -> None:
        self.unset: dict[str, None] = {}  # in the order of their first use
        self._text = text
        self._variables = variables
        self._at = 0

    def text(self, depth: int, ends: str) -> str:
        """Up to one of `ends` (which is not consumed), or to the end of all when there is none."""
        parts: list[str] = []
        length = 0
        while self._at < len(self._text):
            if self._peek(1) in ends and ends:
                break
            parts.append(self._piece(depth, ends))
            length += len(parts[-1])
            if length > MAX_LENGTH:
                raise SubstitutionError(f"the result is longer than {MAX_LENGTH} characters")
        return "".join(parts)

    def _piece(self, depth: int, ends: str) -> str:
        ahead = self._peek(2)
        if ahead == "$$":
            self._at += 2
            return "$"
        if ahead == "${":
            return self._expression(depth + 1)
        if ahead == "\\/" and ends:
            self._at += 2
            return "/"
        if ends or ahead[0] == "$":
            self._at += 1
            return ahead[0]
        return self._plain()

    def _plain(self) -> str:
        start, dollar = self._at, self._text.find("$", self._at)
        self._at = len(self._text) if dollar < 0 else dollar
        return self._text[start : self._at]

    def _expression(self, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise SubstitutionError(f"expressions are nested deeper than {MAX_DEPTH}")
        start = self._at
        self._at += 2
        counts = self._take("#")
        name = self._name(start)
        result = str(len(self._value(name))) if counts else self._function(name, depth, start)
        if not self._take("}"):
            raise self._broken(start)
        return result

    def _name(self, start: int) -> str:
        first = self._at
        while self._at < len(self._text) and self._text[self._at] in _NAME:
            self._at += 1
        if first == self._at:
            raise self._broken(start)
        return self._text[first : self._at]

    def _function(self, name: str, depth: int, start: int) -> str:
        sign = next((each for each in _SIGNS if self._take(each)), "")
        if sign in _DEFAULTS:
            default = self.text(depth, "}")
            return self._variables.get(name) or default
        if not sign and self._peek(1) != "}":
            raise self._broken(start)
        value = self._value(name)
        if sign in _CASES:
            return _CASES[sign](value)
        if sign in _TRIMS:
            return _TRIMS[sign](value, self.text(depth, "}"))
        if sign in _REPLACEMENTS:
            return _REPLACEMENTS[sign](value, *self._two(depth))
        if sign == ":":
            return self._slice(value, self.text(depth, "}"), start)
        return value

    def _two(self, depth: int) -> tuple[str, str]:
        pattern = self.text(depth, "/}")
        replacement = self.text(depth, "}") if self._take("/") else ""
        return pattern, replacement

    def _slice(self, value: str, arguments: str, start: int) -> str:
        offset_text, colon, length_text = arguments.partition(":")
        try:
            offset = int(offset_text)
            length = int(length_text) if colon else len(value)
        except ValueError:
            raise self._broken(start) from None
        first = max(len(value) + offset, 0) if offset < 0 else offset
        last = first + length if length >= 0 else len(value) + length
        return value[first : max(last, first)]

    def _value(self, name: str) -> str:
        value = self._variables.get(name)
        if value is None:
            self.unset[name] = None
        return value or ""

    def _peek(self, length: int) -> str:
        return self._text[self._at : self._at + length]

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _broken(self, start: int) -> SubstitutionError:
        line = self._text.count("\n", 0, start) + 1
        shown = self._text[start : start + 40].partition("\n")[0]
        return SubstitutionError(f"bad substitution in line {line}: {shown}")
