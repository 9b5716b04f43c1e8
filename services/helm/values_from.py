"""Reads what `spec.valuesFrom` refers to: Secrets and ConfigMaps beside the HelmRelease.

Messages name the object and the key; they never show what is in it.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import orjson

from services.helm.target_path import TargetPathError
from services.helm.values import ValueAtPath, Values, ValuesFile, compose
from shared import documents
from shared.cluster.objects import Manifest, ObjectRef
from shared.outcomes import Failed
from shared.redaction import register
from shared.resources.helm import HelmRelease
from shared.resources.helm.release import ValuesReference

DEFAULT_KEY = "values.yaml"
# Charts repeat values in their errors. Shorter ones (`true`, `8080`) would be hidden everywhere.
_TELLING = 8

Read: TypeAlias = Callable[[ObjectRef], Awaitable[Manifest | None]]


class ValuesError(Failed):
    reason = "ValuesError"


async def composed_values(release: HelmRelease, read: Read) -> Values:
    """Raises ValuesError. An `optional` reference may lack its object or its key."""
    references = []
    for position, reference in enumerate(release.spec.values_from):
        where = f"spec.valuesFrom[{position}]"
        found = await _read(reference, release.metadata.namespace, where, read)
        if found is not None:
            references.append(found)
    try:
        values = compose(references, release.spec.values or {})
        orjson.dumps(values)
    except TargetPathError as error:
        raise ValuesError(f"cannot set values from spec.valuesFrom: {error}") from error
    except orjson.JSONEncodeError as error:
        raise ValuesError(
            "spec.values or spec.valuesFrom has a number that JSON cannot hold; quote it"
        ) from error
    return values


async def _read(
    reference: ValuesReference, namespace: str, where: str, read: Read
) -> ValuesFile | ValueAtPath | None:
    ref = ObjectRef("v1", reference.kind, namespace, reference.name)
    manifest = await read(ref)
    key = reference.values_key or DEFAULT_KEY
    text = None if manifest is None else _text(manifest, key, f"{where}: {ref}")
    if text is None:
        if reference.optional:
            return None
        missing = "does not exist" if manifest is None else f"has no key {key!r}"
        raise ValuesError(f"{where}: {ref} {missing}; add it, or make the reference optional")
    if reference.target_path:
        if reference.kind == "Secret" and len(text) >= _TELLING:
            register(text)
        return ValueAtPath(reference.target_path, text, reference.literal)
    return ValuesFile(_parsed(text, f"{where}: key {key!r} of {ref}"))


def _text(manifest: Manifest, key: str, what: str) -> str | None:
    found = (manifest.get("data") or {}).get(key)
    if found is None or manifest["kind"] != "Secret":
        return found
    try:
        return base64.b64decode(found).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValuesError(f"{what} has something else than UTF-8 text under {key!r}") from error


def _parsed(text: str, what: str) -> Values:
    try:
        values = documents.load(text)
    except documents.DocumentError as error:
        raise ValuesError(f"{what} is not YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValuesError(
            f"{what} holds no mapping of values; name a targetPath for a single value"
        )
    return values
