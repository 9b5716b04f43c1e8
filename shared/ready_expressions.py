"""`spec.dependsOn[].readyExpr`: CEL over `self`, who waits, and `dep`, what it waits for."""

from collections import OrderedDict
from typing import Any, Final, NamedTuple

from shared.cel import Asks
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ObjectRef
from shared.engine_messages import Question
from shared.resources.meta import DependencyReference, NamespacedName, Resource

SELF, DEP = "self", "dep"
REMEMBERED = 5000
FIELD: Final = "spec.dependsOn[{}].readyExpr"


class _Pair(NamedTuple):
    waiting: NamespacedName
    dependency: NamespacedName
    text: str


class ReadyExpressions:
    """Objects are read whole, for a model knows only some of their fields; an answer stands until
    one of the two has changed."""

    def __init__(self, cluster: Cluster, asks: Asks) -> None:
        self._cluster = cluster
        self._asks = asks
        self._known: OrderedDict[_Pair, tuple[tuple[str, str], str | None]] = OrderedDict()

    async def require_valid(self, resource: Resource[Any, Any]) -> None:
        """Raises InvalidExpression, which stalls."""
        texts = {
            FIELD.format(place): each.ready_expr
            for place, each in enumerate(resource.spec.depends_on)
            if each.ready_expr
        }
        await self._asks.require_valid(texts, (SELF, DEP))

    async def problem(
        self,
        resource: Resource[Any, Any],
        dependency: Resource[Any, Any],
        reference: DependencyReference,
    ) -> str | None:
        """Why the dependency does not count as ready; None when it does."""
        text = reference.ready_expr or ""
        pair = _Pair(resource.key, dependency.key, text)
        versions = resource.metadata.resource_version, dependency.metadata.resource_version
        known = self._known.get(pair)
        if known is None or known[0] != versions:
            known = await self._asked(pair, resource, dependency)
            self._known[pair] = known
            self._known.move_to_end(pair)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known[1]

    async def _asked(
        self, pair: _Pair, resource: Resource[Any, Any], dependency: Resource[Any, Any]
    ) -> tuple[tuple[str, str], str | None]:
        waiting, needed = await self._read(resource), await self._read(dependency)
        if waiting is None or needed is None:
            return ("", ""), f"dependency '{pair.dependency}' not found"
        values = {SELF: waiting, DEP: needed}
        question = Question(expressions=(pair.text,), declared=(SELF, DEP), values=values)
        ((answer,),) = await self._asks.answers([question])
        versions = _version(waiting), _version(needed)
        if answer.truth:
            return versions, None
        why = answer.invalid or answer.problem
        said = f"its expression has no value: {why}" if why else "its expression is not true"
        return versions, f"dependency '{pair.dependency}' is not ready: {said}"

    async def _read(self, resource: Resource[Any, Any]) -> Manifest | None:
        ref = ObjectRef(resource.api_version, resource.kind, *resource.key)
        return await self._cluster.read(ref)


def _version(manifest: Manifest) -> str:
    return str(manifest["metadata"]["resourceVersion"])
