"""What annotations on a HelmRelease ask for beside an ordinary run: a forced one, a reset.

Each counts once, and only together with a request for a run that carries the same value.
"""

from dataclasses import dataclass
from typing import Any

from shared.resources.helm import HelmRelease
from shared.status import requested_at

FORCE_AT = "reconcile.fluxcd.io/forceAt"
RESET_AT = "reconcile.fluxcd.io/resetAt"


@dataclass(frozen=True)
class Requests:
    forced: bool
    reset: bool
    handled: dict[str, Any]  # status fields that mark both as handled, honoured or not


def requests_of(release: HelmRelease) -> Requests:
    annotations, status = release.metadata.annotations, release.status
    force, reset = annotations.get(FORCE_AT), annotations.get(RESET_AT)
    asked = requested_at(release)
    handled = {"lastHandledForceAt": force, "lastHandledResetAt": reset}
    return Requests(
        forced=force is not None and force == asked and force != status.last_handled_force_at,
        reset=reset is not None and reset == asked and reset != status.last_handled_reset_at,
        handled={name: value for name, value in handled.items() if value is not None},
    )
