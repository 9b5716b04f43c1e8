"""Which objects a rule is about: patterns on what they are called, selectors on labels.

Patterns are Go's, anchored, and run on RE2: time linear in the text whatever a tenant writes.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import re2

from shared.cluster.objects import ObjectRef
from shared.resources.transforms import Selector

LONGEST = 4096  # characters of a pattern or selector
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 128 * 1024  # of one pattern, compiled: a tenant may write hundreds
_PATTERNS = ("group", "version", "kind", "name", "namespace")
_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_VALUE = r"[-A-Za-z0-9_.]*"
_BETWEEN = re.compile(r",(?![^()]*\))")
_REQUIREMENT = re.compile(
    rf"(?P<absent>!\s*)?(?P<key>{_KEY})"
    rf"(?:\s*(?P<compared>==?|!=)\s*(?P<value>{_VALUE})"
    rf"|\s+(?P<chosen>in|notin)\s*\((?P<values>[^()]*)\))?"
)


class BadSelector(ValueError):
    """Names the field below the selector, what it says, and what would do."""


class Requirement(NamedTuple):
    """`values` None: any will do. `negated`: also fulfilled by what has no such key."""

    key: str
    values: frozenset[str] | None
    negated: bool

    def fits(self, held: Mapping[str, str]) -> bool:
        is_held = self.key in held and (self.values is None or held[self.key] in self.values)
        return is_held is not self.negated


class ObjectSelector(NamedTuple):
    """What is not said fits everything."""

    patterns: tuple[tuple[str, Any], ...] = ()
    labels: tuple[Requirement, ...] = ()
    annotations: tuple[Requirement, ...] = ()

    @property
    def reads_metadata(self) -> bool:
        return bool(self.labels or self.annotations)

    def fits_name(self, ref: ObjectRef) -> bool:
        said = {
            "group": ref.group,
            "version": ref.gvk.version,
            "kind": ref.kind,
            "name": ref.name,
            "namespace": ref.namespace,
        }
        return all(pattern.fullmatch(said[field]) for field, pattern in self.patterns)

    def fits_metadata(self, metadata: Mapping[str, Any]) -> bool:
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        return all(each.fits(labels) for each in self.labels) and all(
            each.fits(annotations) for each in self.annotations
        )


def selector_of(target: Selector | None) -> ObjectSelector:
    """Raises BadSelector."""
    if target is None:
        return ObjectSelector()
    return ObjectSelector(
        tuple(
            (field, _pattern(field, text))
            for field in _PATTERNS
            if (text := getattr(target, field))
        ),
        _requirements("labelSelector", target.label_selector or ""),
        _requirements("annotationSelector", target.annotation_selector or ""),
    )


def _pattern(field: str, text: str) -> Any:
    _require_short(field, text)
    try:
        return re2.compile(text, _OPTIONS)
    except re2.error as error:
        (reason,) = error.args or (b"",)
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise BadSelector(f"{field}: {text!r} is no regular expression: {said}") from error


def _requirements(field: str, text: str) -> tuple[Requirement, ...]:
    _require_short(field, text)
    parts = [part.strip() for part in _BETWEEN.split(text)]
    return tuple(_requirement(field, part) for part in parts) if any(parts) else ()


def _requirement(field: str, text: str) -> Requirement:
    match = _REQUIREMENT.fullmatch(text)
    if match is None or (match["absent"] and (match["compared"] or match["chosen"])):
        raise BadSelector(
            f"{field}: {text!r} is no requirement; write key=value, key!=value, key in (a,b), "
            f"key notin (a,b), key or !key, with commas between"
        )
    if match["compared"]:
        return Requirement(match["key"], frozenset({match["value"]}), match["compared"] == "!=")
    if match["chosen"]:
        values = frozenset(value.strip() for value in match["values"].split(","))
        return Requirement(match["key"], values, match["chosen"] == "notin")
    return Requirement(match["key"], None, bool(match["absent"]))


def _require_short(field: str, text: str) -> None:
    if len(text) > LONGEST:
        raise BadSelector(f"{field}: longer than {LONGEST} characters")
