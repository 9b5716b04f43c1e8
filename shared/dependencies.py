"""What an object waits for: `spec.dependsOn`, which names its own kind, and an annotation of ours.

    penstock.dev/depends-on: HelmRelease/shop/database, Certificate.cert-manager.io/shop/web

names objects of any kind that says by its state when it is ready. Flux ignores the annotation.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from shared.outcomes import Stalled
from shared.resources.meta import NamespacedName, Resource

DEPENDS_ON: Final = "penstock.dev/depends-on"
NAMED_AT_MOST = 50
# Who cuts a circle through several kinds is not seen by all of it.
CIRCLE_AGAIN = timedelta(seconds=30)
LOOKED_AT_MOST = 200  # objects on the search for a circle
_GROUPS = {
    "Kustomization": "kustomize.toolkit.fluxcd.io",
    "HelmRelease": "helm.toolkit.fluxcd.io",
    "GitRepository": "source.toolkit.fluxcd.io",
    "OCIRepository": "source.toolkit.fluxcd.io",
    "HelmRepository": "source.toolkit.fluxcd.io",
    "HelmChart": "source.toolkit.fluxcd.io",
    "Bucket": "source.toolkit.fluxcd.io",
    "ExternalArtifact": "source.toolkit.fluxcd.io",
}


class BadDependency(Stalled):
    reason = "InvalidSpec"


class AccessDenied(Stalled):
    reason = "AccessDenied"


class DependencyRef(NamedTuple):
    group: str
    kind: str
    namespace: str
    name: str

    @property
    def key(self) -> NamespacedName:
        return NamespacedName(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


Lookup: TypeAlias = Callable[[DependencyRef], Awaitable[Resource[Any, Any] | None]]


def ref_of(resource: Resource[Any, Any]) -> DependencyRef:
    return DependencyRef(*resource.group_kind(), *resource.key)


def dependencies_of(resource: Resource[Any, Any]) -> list[DependencyRef]:
    """All of them, those of its own kind first; raises BadDependency."""
    return [*_of_its_kind(resource), *annotated(resource)]


def annotated(resource: Resource[Any, Any]) -> list[DependencyRef]:
    """What the annotation names; raises BadDependency."""
    text = resource.metadata.annotations.get(DEPENDS_ON, "")
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) > NAMED_AT_MOST:
        raise BadDependency(
            f"annotation {DEPENDS_ON}: names {len(words)} objects, of at most {NAMED_AT_MOST}"
        )
    return [_parsed(word, resource.metadata.namespace) for word in words]


def is_reannotated(before: Resource[Any, Any] | None, after: Resource[Any, Any] | None) -> bool:
    """The annotation was changed, which no generation tells."""
    if before is None or after is None:
        return False
    old, new = before.metadata.annotations, after.metadata.annotations
    return old.get(DEPENDS_ON) != new.get(DEPENDS_ON)


def require_reachable(resource: Resource[Any, Any], *, cross_namespace: bool) -> None:
    """Raises AccessDenied for what is in another namespace, where such references are blocked."""
    if cross_namespace:
        return
    for ref in dependencies_of(resource):
        if ref.namespace != resource.metadata.namespace:
            raise AccessDenied(
                f"can't access '{ref}', cross-namespace references have been blocked"
            )


async def circle_of(resource: Resource[Any, Any], lookup: Lookup) -> list[DependencyRef]:
    """A way from the object along dependencies back to itself; empty when there is none."""
    start = ref_of(resource)
    came_from: dict[DependencyRef, DependencyRef] = {}
    todo = [start]
    while todo and len(came_from) < LOOKED_AT_MOST:
        ref = todo.pop()
        node = resource if ref == start else await lookup(ref)
        for target in _readable(node) if node else ():
            if target == start:
                return [start, *reversed(list(_way_back(ref, came_from, start))), start]
            if target not in came_from:
                came_from[target] = ref
                todo.append(target)
    return []


def circle_problem(circle: Iterable[DependencyRef]) -> str:
    return f"dependency cycle, none of these can ever be ready: {told_circle(circle)}"


def told_circle(circle: Iterable[DependencyRef]) -> str:
    """The kinds are left out where there is only one."""
    refs = list(circle)
    one_kind = len({(ref.group, ref.kind) for ref in refs}) == 1
    return " -> ".join(str(ref.key) if one_kind else str(ref) for ref in refs)


def _of_its_kind(resource: Resource[Any, Any]) -> list[DependencyRef]:
    group, kind = resource.group_kind()
    own = resource.metadata.namespace
    return [
        DependencyRef(group, kind, each.namespace or own, each.name)
        for each in resource.spec.depends_on
    ]


def _readable(resource: Resource[Any, Any]) -> list[DependencyRef]:
    """Others' mistakes are told at theirs."""
    try:
        return dependencies_of(resource)
    except BadDependency:
        return _of_its_kind(resource)


def _parsed(word: str, own_namespace: str) -> DependencyRef:
    kind, *place = word.split("/")
    name, dot, group = kind.partition(".")
    if not name or len(place) not in (1, 2) or not all(place):
        raise BadDependency(
            f"annotation {DEPENDS_ON}: '{word}': write Kind/namespace/name, and for a kind that is "
            f"neither Flux's nor of the core group Kind.group/namespace/name, with commas between"
        )
    namespace = place[0] if len(place) == len(("namespace", "name")) else own_namespace
    return DependencyRef(group if dot else _GROUPS.get(name, ""), name, namespace, place[-1])


def _way_back(
    ref: DependencyRef, came_from: dict[DependencyRef, DependencyRef], start: DependencyRef
) -> Iterator[DependencyRef]:
    while ref != start:
        yield ref
        ref = came_from[ref]
