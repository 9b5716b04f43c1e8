"""Fields of wanted objects that are left to whoever changes them in the cluster.

A rule names fields by JSON pointer, `""` being the whole object, and objects by selector. What
several rules say of one object adds up. What becomes of such a field is decided in `adopting`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from shared.cluster.fields import digest
from shared.cluster.selector import BadSelector, ObjectSelector, selector_of
from shared.cluster.wanted import Wanted
from shared.resources.transforms import IgnoreRule

WHOLE = ""
MOST_RULES = 100
MOST_PATHS = 100  # of one rule
DEEPEST = 64
LONGEST = 1024  # characters
# Without these it would be another object, or nobody could tell whose it is.
_IDENTITY = frozenset(
    {"/apiVersion", "/kind", "/metadata", "/metadata/name", "/metadata/namespace"}
)


class BadRule(ValueError):
    """Names the field, what it says, and what would do."""


class Rule(NamedTuple):
    selector: ObjectSelector
    pointers: tuple[str, ...]


class IgnoreRules(NamedTuple):
    rules: tuple[Rule, ...] = ()

    def marked(self, wanted: Wanted) -> Wanted:
        """With the pointers that apply to it, which are part of what is wanted of it."""
        pointers = tuple(sorted(set(self._pointers(wanted))))
        if not pointers:
            return wanted
        sealed = digest([wanted.digest.hex(), *pointers])
        return replace(wanted, ignored=pointers, digest=sealed)

    def _pointers(self, wanted: Wanted) -> Iterator[str]:
        fitting = [rule for rule in self.rules if rule.selector.fits_name(wanted.ref)]
        metadata = {}
        if any(rule.selector.reads_metadata for rule in fitting):
            metadata = wanted.manifest["metadata"]
        for rule in fitting:
            if rule.selector.fits_metadata(metadata):
                yield from rule.pointers


NO_RULES = IgnoreRules()


def rules_of(said: tuple[IgnoreRule, ...]) -> IgnoreRules:
    """Raises BadRule."""
    if len(said) > MOST_RULES:
        raise BadRule(f"spec.ignore: more than {MOST_RULES} rules")
    return IgnoreRules(tuple(_rule(f"spec.ignore[{n}]", each) for n, each in enumerate(said)))


def _rule(place: str, said: IgnoreRule) -> Rule:
    if len(said.paths) > MOST_PATHS:
        raise BadRule(f"{place}.paths: more than {MOST_PATHS} paths")
    for number, pointer in enumerate(said.paths):
        _require_pointer(f"{place}.paths[{number}]", pointer)
    try:
        return Rule(selector_of(said.target), said.paths)
    except BadSelector as error:
        raise BadRule(f"{place}.target.{error}") from error


def _require_pointer(place: str, pointer: str) -> None:
    if len(pointer) > LONGEST or pointer.count("/") > DEEPEST:
        raise BadRule(f"{place}: longer than {LONGEST} characters, or deeper than {DEEPEST} steps")
    if pointer and not pointer.startswith("/"):
        raise BadRule(f"{place}: {pointer!r} is no JSON pointer; write it like /spec/replicas")
    if "~" in pointer.replace("~0", "").replace("~1", ""):
        raise BadRule(f"{place}: {pointer!r} is no JSON pointer; write ~0 for ~ and ~1 for /")
    if pointer in _IDENTITY:
        raise BadRule(f"{place}: {pointer} says which object it is, and cannot be ignored")


def steps_of(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
