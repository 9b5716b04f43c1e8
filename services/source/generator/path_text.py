"""What is written of paths in a spec: `@alias/path`, captures in braces; and nothing leads out."""

import re
from collections.abc import Mapping
from typing import NamedTuple

_REFERENCE = re.compile(r"@([a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)/(.*)", re.DOTALL)
CAPTURE = re.compile(r"\{([A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)\}")
ARTIFACT = "artifact"  # the alias of what is being made


class PathError(ValueError):
    """What is written there means no path of a tree; says why."""


class Reference(NamedTuple):
    """`@alias/path`, taken apart."""

    alias: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        found = _REFERENCE.fullmatch(text)
        if not found:
            raise PathError(f"{text!r} is not of the form @alias/path")
        return cls(found[1], found[2])


def clean_parts(text: str) -> list[str]:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in text:
        raise PathError(f"{text!r} leads out of where it starts")
    return parts


def filled(text: str, captures: Mapping[str, str]) -> str:
    """With the captures in their places."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in captures:
            known = ", ".join(f"{{{name}}}" for name in captures) or "nothing"
            raise PathError(f"{text!r}: {found[0]} is not captured; spec.pathPattern has {known}")
        return captures[found[1]]

    return CAPTURE.sub(value, text)


class Destination(NamedTuple):
    """Where `to` puts things in the artifact; "" is its root."""

    path: str
    is_folder: bool

    @classmethod
    def parse(cls, text: str, captures: Mapping[str, str]) -> "Destination":
        alias, path = Reference.parse(text)
        if alias != ARTIFACT:
            raise PathError(f"{text!r} is not of the form @{ARTIFACT}/path")
        path = filled(path, captures)
        parts = clean_parts(path)
        return cls("/".join(parts), not parts or path.endswith(("/", "/.")))
