"""The annotation `source.extensions.fluxcd.io/reconcile: disabled`, as somebody turns it.

It is no part of the spec, so the loop does not see it change. Disabling is told once, and again
when a run is asked for in vain; enabling calls for a run.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from shared.resources.meta import NamespacedName
from shared.resources.source import ArtifactGenerator
from shared.resources.source.artifact_generator import SWITCH
from shared.run import Recorder
from shared.status import is_requested, requested_at

Generator: TypeAlias = ArtifactGenerator | None


def enabled_again(before: Generator, after: Generator) -> Iterable[NamespacedName]:
    turned = before is not None and before.is_suspended
    return [after.key] if turned and after is not None and not after.is_suspended else []


def telling_of_disabled(recorder: Recorder) -> Callable[[Generator, Generator], None]:
    def changed(before: Generator, after: Generator) -> None:
        if after is None or not after.is_suspended:
            return
        was_disabled = before is not None and before.is_suspended
        asked = before is not None and requested_at(before) != requested_at(after)
        if not was_disabled or (asked and is_requested(after)):
            message = f"reconciliation is disabled by the annotation {SWITCH}"
            recorder.record(after, "trace", "ReconciliationDisabled", message, {})

    return changed
