"""An object as it shall be: ready to be sent, cheap to keep, and cheap to compare."""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from shared.cluster.fields import digest
from shared.cluster.inventory import ObjectId
from shared.cluster.normalize import broken_keys, normalize
from shared.cluster.objects import Manifest, ObjectRef, ref_of
from shared.cluster.ownership import Controls, Ownership
from shared.listed import listed
from shared.outcomes import Failed
from shared.resources.meta import NamespacedName


class NotAnObject(Failed):
    """A document among the manifests cannot be applied as it is; says which and why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    ref: ObjectRef
    id: ObjectId
    body: bytes
    digest: bytes
    controls: Controls
    ignored: tuple[str, ...] = ()  # JSON pointers to what is left as it lives

    @property
    def manifest(self) -> Manifest:
        parsed: Manifest = orjson.loads(self.body)
        return parsed


def wanted(manifest: Manifest, ownership: Ownership, owner: NamespacedName) -> Wanted:
    """Normalised and labelled as the owner's; raises NotAnObject."""
    ref = _ref(manifest)
    result = normalize(manifest)
    if (ref.api_version, ref.kind) == ("v1", "Secret") and (broken := broken_keys(result)):
        raise NotAnObject(
            f"{ref} is invalid: {', '.join(broken)} must be base64 under data, "
            f"or plain text under stringData"
        )
    metadata = result["metadata"]
    controls = ownership.controls_in(metadata.get("labels"), metadata.get("annotations"))
    metadata["labels"] = {**(metadata.get("labels") or {}), **ownership.labels(owner)}
    return Wanted(ref, ObjectId.of(ref), orjson.dumps(result), digest(result), controls)


def all_wanted(
    manifests: Iterable[Manifest], ownership: Ownership, owner: NamespacedName
) -> list[Wanted]:
    """In the order given; raises NotAnObject, with all that is wrong, also with what is there
    twice."""
    found: dict[ObjectId, Wanted] = {}
    problems: list[str] = []
    for manifest in manifests:
        try:
            each = wanted(manifest, ownership, owner)
        except NotAnObject as error:
            problems.append(str(error))
            continue
        if found.setdefault(each.id, each) is not each:
            problems.append(f"{each.ref} is described twice; remove one of the two")
    if problems:
        raise NotAnObject(listed(problems))
    return list(found.values())


def _ref(manifest: Manifest) -> ObjectRef:
    try:
        ref = ref_of(manifest)
    except (KeyError, TypeError, AttributeError) as error:
        shown = f"{manifest.get('kind', 'document')}" if isinstance(manifest, dict) else "document"
        raise NotAnObject(
            f"a {shown} is no Kubernetes object: apiVersion, kind and metadata.name are needed"
        ) from error
    if not all(isinstance(part, str) for part in ref) or not (ref.name and ref.kind):
        raise NotAnObject(f"{ref.kind}/{ref.name}: apiVersion, kind and name must be text")
    return ref
