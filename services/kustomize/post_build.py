"""`spec.postBuild`: which variables there are, and their values put into built objects.

Values come from ConfigMaps, Secrets and the spec itself, the later overriding the earlier. They
lose their line breaks, so that a value can become part of a document but never a document of its
own. What comes from a Secret is hidden from every message and log from then on.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping

from services.kustomize.substitution import substitute
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ObjectRef
from shared.documents import DocumentError, load
from shared.engine_messages import BuiltObject
from shared.outcomes import Failed
from shared.redaction import register
from shared.resources.kustomize import Kustomization, SubstituteReference

SHOWN = 100
_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


class PostBuildFailed(Failed):
    reason = "BuildFailed"


async def variables_of(kustomization: Kustomization, cluster: Cluster) -> dict[str, str] | None:
    """None when nothing is to be substituted; raises PostBuildFailed."""
    post_build = kustomization.spec.post_build
    if post_build is None:
        return None
    found: dict[str, str] = {}
    problems: list[str] = []
    for reference in post_build.substitute_from:
        try:
            found |= await _values(reference, kustomization.metadata.namespace, cluster)
        except PostBuildFailed as error:
            problems.append(str(error))
    found |= post_build.substitute
    problems += [
        f"'{name}' is no name of a variable: letters, digits and _ only, no digit first"
        for name in found
        if not _NAME.fullmatch(name)
    ]
    _require_none(problems)
    if not found and post_build.substitute_strategy != "Always":
        return None
    return {name: value.replace("\n", "") for name, value in found.items()}


def substituted(
    built: Iterable[BuiltObject], variables: Mapping[str, str], *, strict: bool = True
) -> list[Manifest]:
    """Raises PostBuildFailed, which tells of every object that cannot be made."""
    made: list[Manifest] = []
    problems: list[str] = []
    for each in built:
        try:
            if each.text is None:
                made.append(each.object or {})
            else:
                made.append(_substituted(each.text, variables, strict=strict))
        except PostBuildFailed as error:
            problems.append(str(error))
    _require_none(problems)
    return made


def _require_none(problems: list[str]) -> None:
    if problems:
        more = len(problems) - SHOWN
        told = problems[:SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise PostBuildFailed("\n".join(told))


def _substituted(text: str, variables: Mapping[str, str], *, strict: bool) -> Manifest:
    try:
        parsed = load(substitute(text, variables, strict=strict))
    except (ValueError, DocumentError) as error:
        raise PostBuildFailed(f"post build failed for '{_title(text)}': {error}") from error
    if not isinstance(parsed, dict):
        raise PostBuildFailed(f"post build failed for '{_title(text)}': it is no object any more")
    return parsed


def _title(text: str) -> str:
    """Which object this was, from its text before substitution."""
    try:
        parsed = load(text)
        metadata = parsed["metadata"]
        parts = (parsed["kind"], metadata.get("namespace", ""), metadata["name"])
    except (DocumentError, KeyError, TypeError, AttributeError):
        return "an object"
    return "/".join(str(part) for part in parts if part)


async def _values(
    reference: SubstituteReference, namespace: str, cluster: Cluster
) -> dict[str, str]:
    where = f"substitute from '{reference.kind}/{reference.name}' error"
    if reference.kind not in ("ConfigMap", "Secret"):
        raise PostBuildFailed(f"{where}: kind must be ConfigMap or Secret")
    holder = await cluster.read(ObjectRef("v1", reference.kind, namespace, reference.name))
    if holder is None:
        if reference.optional:
            return {}
        raise PostBuildFailed(f"{where}: not found in namespace {namespace}")
    values = holder.get("data") or {}
    if reference.kind == "ConfigMap":
        return {name: str(value) for name, value in values.items()}
    return {name: _secret(value, f"{where}: key {name}") for name, value in values.items()}


def _secret(encoded: str, where: str) -> str:
    try:
        value = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise PostBuildFailed(f"{where} is not text") from error
    register(value)
    return value
