"""The custom resource definitions of deploy/crds, as the tests read them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import yaml

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / "deploy" / "crds"


class Property(NamedTuple):
    """A property of a schema, and where it is."""

    path: str
    name: str
    schema: dict[str, Any]


@cache
def _texts() -> list[bytes]:
    files = sorted(FOLDER.glob("*.yaml"))
    return [orjson.dumps(yaml.load(file.read_bytes(), yaml.CSafeLoader)) for file in files]


def definitions() -> list[dict[str, Any]]:
    """Fresh copies, one per kind."""
    return [orjson.loads(text) for text in _texts()]


def definition_of(kind: str) -> dict[str, Any]:
    (found,) = (crd for crd in definitions() if crd["spec"]["names"]["kind"] == kind)
    return found


def version_of(crd: dict[str, Any]) -> dict[str, Any]:
    """The one version that each definition serves."""
    (version,) = crd["spec"]["versions"]
    return dict(version)


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    return dict(version_of(crd)["schema"]["openAPIV3Schema"])


def properties(schema: dict[str, Any], path: str = "") -> Iterator[Property]:
    """All of them, at any depth."""
    for name, inner in schema.get("properties", {}).items():
        yield Property(f"{path}.{name}", name, inner)
        yield from properties(inner, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from properties(schema[key], path + mark)
