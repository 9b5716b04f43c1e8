"""The written grammar of substitution, as sentences to say and as what they mean.

    template   = { text | "$$" | "${" expression "}" }
    expression = "#" name
               | name
               | name ( "^" | "^^" | "," | ",," )
               | name ( ":-" | ":=" | ":+" | ":?" | "=" ) argument
               | name ":" offset [ ":" length ]
               | name ( "#" | "##" | "%" | "%%" ) argument
               | name ( "/" | "//" | "/#" | "/%" ) argument "/" argument    (after "/" not empty)
    argument   = { text without "}" and "/" | "\\/" | "$$" | "${" expression "}" }

A meaning is worked out the slow and obvious way, and shares no code with the product. An argument
means something also when it is not needed: a variable in it must be set.
"""

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

NAMES = ("a", "B", "_c1", "empty", "unset", "Never_set")
VARIABLES = {"a": "abc.abc", "B": "x/y/z.x", "_c1": "ÄaÄ", "empty": ""}
DEPTH = 3
_LETTERS = string.ascii_letters + string.digits + " .:_-ä"
_GLOBS = ("*", "?", "[a-c]", "[!a]", "a", "x", ".", "b", "Ä", "y")


@dataclass
class World:
    variables: Mapping[str, str]
    unset: list[str] = field(default_factory=list)

    def value(self, name: str) -> str:
        if name not in self.variables and name not in self.unset:
            self.unset.append(name)
        return self.variables.get(name, "")


Meaning: TypeAlias = Callable[[World], str]


@dataclass(frozen=True)
class Sentence:
    text: str
    meaning: Meaning


class Speaker:
    """Says one sentence after the other."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def template(self) -> Sentence:
        pieces = [self._piece(DEPTH, "}/$ \n" + _LETTERS) for _ in range(self._dice.randint(1, 4))]
        return _joined(pieces)

    def _piece(self, depth: int, letters: str) -> Sentence:
        kind = self._dice.randrange(4)
        if kind == 0 and depth:
            return self._expression(depth - 1)
        if kind == 1:
            return Sentence("$$", lambda _: "$")
        # A dollar sign of its own would take what follows it along.
        words = "".join(self._dice.choices(letters.replace("$", ""), k=self._dice.randint(0, 4)))
        return Sentence(words, lambda _: words)

    def _argument(self, depth: int) -> Sentence:
        pieces = [self._piece(depth, _LETTERS) for _ in range(self._dice.randint(0, 3))]
        if self._dice.random() < 0.3:
            pieces.append(Sentence("\\/", lambda _: "/"))
        return _joined(pieces)

    def _expression(self, depth: int) -> Sentence:
        name = self._dice.choice(NAMES)
        ways = (
            self._plain,
            self._length,
            self._case,
            self._default,
            self._slice,
            self._trim,
            self._replacement,
        )
        return self._dice.choice(ways)(name, depth)

    def _plain(self, name: str, _: int) -> Sentence:
        return Sentence(f"${{{name}}}", lambda world: world.value(name))

    def _length(self, name: str, _: int) -> Sentence:
        return Sentence(f"${{#{name}}}", lambda world: str(len(world.value(name))))

    def _case(self, name: str, _: int) -> Sentence:
        sign = self._dice.choice(("^", "^^", ",", ",,"))
        change = str.upper if "^" in sign else str.lower

        def meaning(world: World) -> str:
            value = world.value(name)
            changed = 1 if len(sign) == 1 else len(value)
            return "".join(map(change, value[:changed])) + value[changed:]

        return Sentence(f"${{{name}{sign}}}", meaning)

    def _default(self, name: str, depth: int) -> Sentence:
        sign, other = self._dice.choice((":-", ":=", ":+", ":?", "=")), self._argument(depth)

        def meaning(world: World) -> str:
            default = other.meaning(world)
            return world.variables.get(name, "") or default

        return Sentence(f"${{{name}{sign}{other.text}}}", meaning)

    def _slice(self, name: str, _: int) -> Sentence:
        offset = self._dice.randint(-9, 9)
        length = self._dice.choice((None, *range(-3, 9)))
        shown = f" {offset}" if offset < 0 else f"{offset}"

        def meaning(world: World) -> str:
            letters = world.value(name)
            first = max(0, len(letters) + offset) if offset < 0 else offset
            last = len(letters)
            if length is not None:
                last = first + length if length >= 0 else last + length
            return "".join(letter for at, letter in enumerate(letters) if first <= at < last)

        tail = "" if length is None else f":{length}"
        return Sentence(f"${{{name}:{shown}{tail}}}", meaning)

    def _trim(self, name: str, _: int) -> Sentence:
        sign = self._dice.choice(("#", "##", "%", "%%"))
        parts = self._dice.choices(_GLOBS, k=self._dice.randint(1, 4))

        def meaning(world: World) -> str:
            value = world.value(name)
            lengths = sorted(range(len(value) + 1), reverse=len(sign) == 2)
            for length in lengths:
                cut, kept = _cut(value, length, at_end="%" in sign)
                if _fits(cut, parts):
                    return kept
            return value

        return Sentence(f"${{{name}{sign}{''.join(parts)}}}", meaning)

    def _replacement(self, name: str, depth: int) -> Sentence:
        sign = self._dice.choice(("/", "//", "/#", "/%"))
        old, new = self._argument(depth), self._argument(depth)
        if sign == "/" and not old.text:
            old = Sentence("a", lambda _: "a")  # two signs in a row are another one

        def meaning(world: World) -> str:
            value = world.value(name)
            before, after = old.meaning(world), new.meaning(world)
            return _replaced(sign, value, before, after)

        return Sentence(f"${{{name}{sign}{old.text}/{new.text}}}", meaning)


def _joined(pieces: list[Sentence]) -> Sentence:
    text = "".join(each.text for each in pieces)
    return Sentence(text, lambda world: "".join(each.meaning(world) for each in pieces))


def _cut(value: str, length: int, *, at_end: bool) -> tuple[str, str]:
    middle = len(value) - length if at_end else length
    return (value[middle:], value[:middle]) if at_end else (value[:middle], value[middle:])


def _fits(text: str, parts: list[str]) -> bool:
    if not parts:
        return not text
    first, rest = parts[0], parts[1:]
    if first == "*":
        return any(_fits(text[skipped:], rest) for skipped in range(len(text) + 1))
    members = {"[a-c]": "abc", "[!a]": "", "?": text[:1]}.get(first, first)
    is_one = bool(text) and (text[0] != "a" if first == "[!a]" else text[0] in members)
    return is_one and _fits(text[1:], rest)


def _replaced(sign: str, value: str, old: str, new: str) -> str:
    if sign == "/#":
        return new + value.removeprefix(old) if value.startswith(old) else value
    if sign == "/%":
        return value.removesuffix(old) + new if value.endswith(old) else value
    if not old:
        return value
    pieces = value.split(old)
    if sign == "//":
        return new.join(pieces)
    return pieces[0] + new + old.join(pieces[1:]) if len(pieces) > 1 else value
