"""Step by step from the state a release is in to the one it shall be in.

Each turn decides anew from what is known then (`Attempt.next_step`); a release is deployed at most
once a run, so a decision that does not settle cannot spin.
"""

from dataclasses import replace

from services.helm import messages
from services.helm.attempt import Attempt
from services.helm.digests import of_common_metadata
from services.helm.faults import is_passing
from services.helm.install import install
from services.helm.observe import State
from services.helm.plan import Step
from services.helm.record import Action
from services.helm.rivals import require_no_rival
from services.helm.unlock import unlock
from services.helm.upgrade import upgrade
from shared.artifact import ArtifactFailed
from shared.conditions import find
from shared.outcomes import ConditionMark, Done, Failed, Stalled

RETRIES_EXCEEDED = "RetriesExceeded"


async def bring_about(attempt: Attempt) -> None:
    """Returns when the release is as it shall be; raises Failed or Stalled."""
    deployed = False
    while (step := attempt.next_step) is not Step.NOTHING:
        if step is Step.GIVE_UP:
            raise _given_up(attempt)
        if attempt.is_known_from_afar:
            await attempt.read()
        elif step is Step.UNLOCK:
            await unlock(attempt)
        elif deployed:
            raise _unsettled(attempt)
        else:
            await _deploy(attempt, step)
            attempt.settle()
            deployed = True


def in_sync(attempt: Attempt) -> Done:
    attempt.record = attempt.record.truncated()
    snapshot = attempt.record.history[0]
    action: Action = "install" if snapshot.action == "install" else "upgrade"
    released = messages.released(action, snapshot)
    common = of_common_metadata(attempt.release.spec.common_metadata)
    return Done(
        message=released.message,
        reason=released.reason,
        conditions={messages.RELEASED: released},
        status={
            **attempt.record.to_status(),
            **attempt.requests.handled,
            "observedCommonMetadataDigest": common,
            "observedPostRenderersDigest": None,
        },
    )


async def _deploy(attempt: Attempt, step: Step) -> None:
    require_no_rival(attempt.release, attempt.tools.releases)
    action: Action = "install" if step is Step.INSTALL else "upgrade"
    if step is Step.TAKE_OVER:
        attempt.record = attempt.record.without_history()
    before = attempt.record
    try:
        deployment = await (install if step is Step.INSTALL else upgrade)(attempt)
    except (Failed, Stalled) as error:
        attempt.record = replace(attempt.record, history=before.history)
        if is_passing(error) or isinstance(error, ArtifactFailed):
            attempt.note()
            raise
        raise _not_begun(attempt, action, error) from error
    await deployment.run()


def _not_begun(attempt: Attempt, action: Action, error: Failed | Stalled) -> Failed | Stalled:
    """Nothing of it is stored, and no retry is used up; it may be tried again at once."""
    attempt.record = attempt.record.trying(action).failing(action, stored=False)
    attempt.note()
    message = messages.failed(action, attempt.identity, attempt.chart, error)
    released = messages.not_released(action, message)
    ending = Stalled if isinstance(error, Stalled) else Failed
    return ending(
        message,
        reason=released.reason,
        retry_after=error.retry_after,
        conditions={messages.RELEASED: released},
    )


def _unsettled(attempt: Attempt) -> Stalled:
    """Not to be tried again by itself: it would be a new version at every turn."""
    return Stalled(
        f"release {attempt.identity} is {attempt.state.value} even after it was deployed",
        reason="StateError",
    )


def _given_up(attempt: Attempt) -> Stalled:
    """Ready goes on saying what failed; Stalled says that it will not be tried again."""
    attempt.run.note(status=attempt.requests.handled)
    attempts = attempt.record.attempts(forced=False)
    installs = attempt.state is State.ABSENT or attempts.last_action == "install"
    exceeded = (
        messages.retries_exceeded("install", attempts.installs)
        if installs
        else messages.retries_exceeded("upgrade", attempts.upgrades)
    )
    released = _released(attempt)
    return Stalled(
        released.message if released else exceeded,
        reason=released.reason if released else RETRIES_EXCEEDED,
        conditions={"Stalled": ConditionMark("True", RETRIES_EXCEEDED, exceeded)},
    )


def _released(attempt: Attempt) -> ConditionMark | None:
    """How the last action went: of this run, or as an earlier one left it."""
    noted = attempt.run.noted_conditions.get(messages.RELEASED)
    stored = find(attempt.release.status.conditions, messages.RELEASED)
    if noted is None and stored is not None and stored.status == "False":
        return ConditionMark("False", stored.reason, stored.message)
    return noted
