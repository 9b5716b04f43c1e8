"""What an owner keeps in the cluster: one id per object, in the order of their apply.

An id is `<namespace>_<name>_<group>_<kind>`; parts that an object has not stay empty. Namespace,
group and kind cannot hold an underscore, so the name is whatever is between them. Only names of
RBAC objects may hold a colon, which is written `__`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from shared.cluster.objects import ObjectRef

RBAC_GROUP = "rbac.authorization.k8s.io"


class ObjectId(NamedTuple):
    """An object whatever the version of its API: what inventories and indexes go by."""

    namespace: str
    name: str
    group: str
    kind: str

    @classmethod
    def of(cls, ref: ObjectRef) -> "ObjectId":
        return cls(ref.namespace, ref.name, ref.group, ref.kind)

    @classmethod
    def parse(cls, text: str) -> "ObjectId":
        """Raises ValueError for text that is not an id."""
        namespace, first, rest = text.partition("_")
        rest, second, kind = rest.rpartition("_")
        name, third, group = rest.rpartition("_")
        if not (first and second and third and name and kind):
            raise ValueError(f"not an inventory id: {text!r}")
        if group == RBAC_GROUP:
            name = name.replace("__", ":")
        return cls(namespace, name, group, kind)

    @property
    def text(self) -> str:
        name = self.name.replace(":", "__") if self.group == RBAC_GROUP else self.name
        return f"{self.namespace}_{name}_{self.group}_{self.kind}"

    def ref(self, version: str) -> ObjectRef:
        api_version = f"{self.group}/{version}" if self.group else version
        return ObjectRef(api_version, self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        """`Deployment/shop/web`, or `Namespace/shop` for a cluster-scoped kind."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


class Inventory(Mapping[ObjectId, str]):
    """Ids and the version of the API that each was last applied with; never changed in place."""

    def __init__(self, entries: Iterable[tuple[ObjectId, str]] = ()) -> None:
        self._versions = dict(entries)

    @classmethod
    def stored(cls, entries: Iterable[tuple[str, str]]) -> "Inventory":
        """From a status. An id that nobody can read names no object, and is left out."""
        return cls(
            (parsed, version) for text, version in entries if (parsed := _parsed(text)) is not None
        )

    @classmethod
    def of(cls, refs: Iterable[ObjectRef]) -> "Inventory":
        return cls((ObjectId.of(ref), ref.gvk.version) for ref in refs)

    def to_status(self) -> dict[str, list[dict[str, str]]]:
        return {"entries": [{"id": id_.text, "v": v} for id_, v in self._versions.items()]}

    def refs(self) -> list[ObjectRef]:
        return [id_.ref(version) for id_, version in self._versions.items()]

    def __or__(self, planned: "Inventory") -> "Inventory":
        """Both; where both know an object, the place is ours and the version `planned`'s."""
        return Inventory([*self._versions.items(), *planned.items()])

    def __sub__(self, kept: "Inventory") -> "Inventory":
        return Inventory((id_, v) for id_, v in self._versions.items() if id_ not in kept)

    def __getitem__(self, id_: ObjectId) -> str:
        return self._versions[id_]

    def __iter__(self) -> Iterator[ObjectId]:
        return iter(self._versions)

    def __len__(self) -> int:
        return len(self._versions)

    def __repr__(self) -> str:
        return f"Inventory({[id_.text for id_ in self._versions]})"


def _parsed(text: str) -> ObjectId | None:
    try:
        return ObjectId.parse(text)
    except ValueError:
        return None
