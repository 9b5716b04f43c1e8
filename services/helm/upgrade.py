"""A further version of a release."""

from services.helm import install
from services.helm.attempt import Attempt
from services.helm.deploy import Deployment, prepared
from services.helm.options import deploy_options
from services.helm.rendering import rendered
from services.helm.stored_objects import is_good
from services.helm.unlock import was_interrupted

BEFORE, AFTER = frozenset({"pre-upgrade"}), frozenset({"post-upgrade"})


async def upgrade(attempt: Attempt) -> Deployment:
    """Ready to run. Raises Failed when that cannot be; nothing is stored then."""
    options = deploy_options(attempt.release, "upgrade")
    latest = attempt.versions[0]
    result = await rendered(
        attempt,
        options,
        version=latest.version + 1,
        first_deployed=latest.body["info"]["first_deployed"],
    )
    events = (BEFORE, AFTER)
    if _continues_an_install(attempt):
        events = (BEFORE | install.BEFORE, AFTER | install.AFTER)
    return await prepared(attempt, "upgrade", options, result, events)


def _continues_an_install(attempt: Attempt) -> bool:
    """Helm would never run the install hooks of a release whose first installer died."""
    return not any(map(is_good, attempt.versions)) and any(
        was_interrupted(each, "pending-install") for each in attempt.versions
    )
