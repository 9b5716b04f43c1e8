"""What to do about a release's state. Pure, and exhaustive: a new state that nobody decides is a
type error.

Remediation is Flux's default: no retries. An action that failed is tried again when something
changed (which clears the counters) or when somebody forces it, and not before.
"""

import enum
from dataclasses import dataclass

from services.helm.observe import State


class Step(enum.Enum):
    NOTHING = "nothing"
    INSTALL = "install"
    UPGRADE = "upgrade"
    TAKE_OVER = "take over"  # an upgrade that starts a new history
    UNLOCK = "unlock"
    GIVE_UP = "give up"


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """Failures since the last change, by action; `last_action` is the one that was tried last."""

    last_action: str | None = None
    installs: int = 0
    upgrades: int = 0
    forced: bool = False

    @property
    def last_failures(self) -> int:
        match self.last_action:
            case "install":
                return self.installs
            case "upgrade":
                return self.upgrades
            case _:
                return 0


def next_step(state: State, attempts: Attempts) -> Step:
    match state:
        case State.ABSENT:
            return Step.INSTALL if attempts.forced or not attempts.installs else Step.GIVE_UP
        case State.LOCKED:
            return Step.UNLOCK
        case State.UNMANAGED:
            return Step.TAKE_OVER
        case State.FAILED:
            return Step.UPGRADE if attempts.forced or not attempts.last_failures else Step.GIVE_UP
        case State.OUT_OF_SYNC:
            return Step.UPGRADE if attempts.forced or not attempts.upgrades else Step.GIVE_UP
        case State.IN_SYNC:
            return Step.UPGRADE if attempts.forced else Step.NOTHING
