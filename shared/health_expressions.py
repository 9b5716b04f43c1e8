"""`spec.healthCheckExprs`: how a user reads the health of a kind, in place of our own rules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.cel import Asks, InvalidExpression
from shared.cluster.kstatus import CURRENT, ObjectStatus
from shared.cluster.objects import Gvk, Manifest
from shared.engine_messages import Answered, Question
from shared.resources.transforms import HealthCheckExpression

FIELD = "spec.healthCheckExprs"
_SECRET = Gvk("v1", "Secret")


@dataclass(frozen=True)
class HealthExpressions:
    """A shared.cluster.health.Reader."""

    given: tuple[HealthCheckExpression, ...]
    asks: Asks

    async def require_valid(self) -> None:
        """Raises InvalidExpression, which stalls."""
        seen: set[tuple[str, str | None]] = set()
        texts: dict[str, str] = {}
        for place, each in enumerate(self.given):
            kind = _group(each.api_version) if each.kind else each.api_version, each.kind
            if kind in seen:
                what = f"{each.kind or 'all kinds'} of {each.api_version}"
                raise InvalidExpression(f"{FIELD}[{place}]", f"another entry is for {what} too")
            seen.add(kind)
            texts |= {f"{FIELD}[{place}].{name}": text for name, text in _texts(each)}
        await self.asks.require_valid(texts)

    def reads(self, gvk: Gvk) -> bool:
        return self._of(gvk) is not None

    async def statuses(self, manifests: Sequence[Manifest]) -> list[ObjectStatus]:
        """In the order of the objects."""
        statuses: list[ObjectStatus | None] = [_unobserved(each) for each in manifests]
        asked = [place for place, status in enumerate(statuses) if status is None]
        answers = await self.asks.answers([self._question(manifests[place]) for place in asked])
        for place, answered in zip(asked, answers, strict=True):
            names = [name for name, _ in _texts(self._entry(manifests[place]))]
            is_secret = _gvk(manifests[place]) == _SECRET
            by_name = dict(zip(names, answered, strict=True))
            statuses[place] = _judged(by_name, tells=not is_secret)
        return [status for status in statuses if status is not None]

    def _question(self, manifest: Manifest) -> Question:
        texts = tuple(text for _, text in _texts(self._entry(manifest)))
        return Question(expressions=texts, values=manifest)

    def _entry(self, manifest: Manifest) -> HealthCheckExpression:
        entry = self._of(_gvk(manifest))
        if entry is None:
            raise KeyError(manifest["kind"])
        return entry

    def _of(self, gvk: Gvk) -> HealthCheckExpression | None:
        """The entry for its kind, whatever the version; else that for all kinds of its version."""
        group = _group(gvk.api_version)
        by_kind = (each for each in self.given if each.kind == gvk.kind)
        for each in by_kind:
            if _group(each.api_version) == group:
                return each
        others = (each for each in self.given if not each.kind)
        return next((each for each in others if each.api_version == gvk.api_version), None)


def _texts(entry: HealthCheckExpression) -> Iterable[tuple[str, str]]:
    """In the order in which they decide."""
    if entry.in_progress:
        yield "inProgress", entry.in_progress
    if entry.failed:
        yield "failed", entry.failed
    yield "current", entry.current


def _judged(answers: dict[str, Answered], *, tells: bool) -> ObjectStatus:
    """What cannot be evaluated, such as a field that is not there yet, does not match."""
    if "inProgress" in answers and answers["inProgress"].truth:
        return ObjectStatus("InProgress", "its expression inProgress is true")
    if "failed" in answers and answers["failed"].truth:
        return ObjectStatus("Failed", "its expression failed is true")
    current = answers["current"]
    if current.truth:
        return CURRENT
    problem = current.invalid or current.problem
    if problem and tells:
        return ObjectStatus("InProgress", f"its expression current has no value: {problem}")
    return ObjectStatus("InProgress", "its expression current is not true")


def _unobserved(manifest: Manifest) -> ObjectStatus | None:
    status = manifest.get("status")
    observed = status.get("observedGeneration") if isinstance(status, dict) else None
    generation = manifest["metadata"].get("generation")
    if observed is None or generation is None or observed == generation:
        return None
    return ObjectStatus("InProgress", f"generation {generation} is not observed yet")


def _gvk(manifest: Manifest) -> Gvk:
    return Gvk(manifest["apiVersion"], manifest["kind"])


def _group(api_version: str) -> str:
    return Gvk(api_version, "").group
