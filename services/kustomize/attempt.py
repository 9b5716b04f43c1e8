"""One try to make the cluster look like one revision: what it is about, and until when."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.kustomize.apply_mode import is_atomic
from services.kustomize.progress import Progress
from services.kustomize.source import origin_revision, retry_of
from services.kustomize.stored import is_settled_at
from shared.cluster.client import Cluster
from shared.cluster.ignoring import rules_of
from shared.cluster.mandate import Mandate
from shared.durations import format_duration, parse_duration
from shared.outcomes import Failed
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact
from shared.run import Run

SHORTEST_TIMEOUT = timedelta(seconds=30)
BEFORE_NEXT = timedelta(seconds=30)


@dataclass(frozen=True)
class Attempt:
    """`cluster` speaks with the identity that the Kustomization asks for."""

    kustomization: Kustomization
    run: Run
    progress: Progress
    artifact: Artifact
    cluster: Cluster
    at: datetime
    started: float

    @property
    def revision(self) -> str:
        return self.artifact.revision

    @property
    def mandate(self) -> Mandate:
        spec = self.kustomization.spec
        return Mandate(
            self.kustomization.key,
            self.cluster,
            force=spec.force,
            # What was accepted as a whole is put right object by object.
            atomic=is_atomic(self.kustomization) and not self.is_repeated,
            heeds_live=True,
            ignoring=rules_of(spec.ignore),
        )

    @property
    def is_repeated(self) -> bool:
        """The same revision was applied by the same spec before."""
        generation = self.kustomization.metadata.generation
        return (
            is_settled_at(self.kustomization, self.revision)
            and self.kustomization.status.observed_generation == generation
        )

    @property
    def timeout(self) -> timedelta:
        return timeout_of(self.kustomization)

    @property
    def elapsed(self) -> timedelta:
        seconds = asyncio.get_running_loop().time() - self.started
        return timedelta(milliseconds=round(seconds * 1000))

    @property
    def left(self) -> timedelta:
        return max(self.timeout - self.elapsed, timedelta())

    @property
    def is_new_revision(self) -> bool:
        return self.kustomization.status.last_applied_revision != self.revision

    @property
    def revisions(self) -> dict[str, str]:
        """For the metadata of events and of the history."""
        origin = origin_revision(self.artifact)
        return {"revision": self.revision} | ({"originRevision": origin} if origin else {})

    def saying(self, doing: str) -> str:
        return f"{doing} for revision {self.revision} with a timeout of " + format_duration(
            self.timeout
        )

    @contextmanager
    def priced(self) -> Iterator[None]:
        """Failures are tried again after spec.retryInterval, not with a backoff."""
        try:
            yield
        except Failed as failure:
            failure.retry_after = retry_of(self.kustomization)
            raise


@asynccontextmanager
async def phase(attempt: Attempt, reason: str) -> AsyncIterator[None]:
    """Ends with the attempt's time."""
    try:
        with failing_as(reason):
            async with asyncio.timeout(attempt.left.total_seconds()):
                yield
    except TimeoutError as error:
        raise Failed(attempt.saying("gave up"), reason=reason) from error


@contextmanager
def failing_as(reason: str) -> Iterator[None]:
    """Failures without a reason of their own have this one."""
    try:
        yield
    except Failed as failure:
        if failure.reason == Failed.reason:
            failure.reason = reason
        raise


def timeout_of(kustomization: Kustomization) -> timedelta:
    spec = kustomization.spec
    if spec.timeout:
        return parse_duration(spec.timeout)
    return max(parse_duration(spec.interval) - BEFORE_NEXT, SHORTEST_TIMEOUT)
