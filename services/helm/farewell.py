"""When a release is no longer wanted where it is: its HelmRelease goes, or names another target."""

import logging

from services.helm import messages
from services.helm.attempt import Attempt
from services.helm.names import ReleaseIdentity
from services.helm.options import uninstall_options
from services.helm.subject import Subject
from services.helm.uninstall import uninstall
from shared.cluster.client import Cluster
from shared.cluster.objects import ObjectRef
from shared.outcomes import Failed
from shared.resources.helm import HelmRelease

log = logging.getLogger(__name__)

IN_PLACE = "InPlaceUpdate"


class UninstallFailed(Failed):
    reason = "UninstallFailed"


def recorded_identity(release: HelmRelease) -> ReleaseIdentity | None:
    """The release that status says is ours; None when there is none."""
    status = release.status
    if not status.history or not status.storage_namespace:
        return None
    latest = status.history[0]
    return ReleaseIdentity(latest.name, latest.namespace, status.storage_namespace)


async def leave_old_target(attempt: Attempt) -> None:
    """Uninstall what is under another name, in another namespace, or of another chart.

    Killed in between, the history still names the old target: the next run goes on.
    """
    old, latest = recorded_identity(attempt.release), attempt.record.latest
    if old is None or latest is None:
        return
    renamed = latest.chart_name != attempt.wanted.chart_name and not _updates_in_place(attempt)
    if old == attempt.identity and not renamed:
        return
    await depart(
        Subject(
            release=attempt.release,
            run=attempt.run,
            tools=attempt.tools,
            identity=old,
            cluster=attempt.cluster,
            record=attempt.record,
        )
    )
    attempt.record = attempt.record.without_history().without_failures()
    attempt.note()


async def depart(subject: Subject) -> None:
    """Raises UninstallFailed."""
    options = uninstall_options(subject.release)
    latest = subject.record.history[0]
    await subject.run.progress(messages.running("uninstall", options.timeout))
    try:
        await uninstall(subject, options)
    except Failed as error:
        chart = f"{latest.chart_name}@{latest.chart_version}"
        message = messages.failed("uninstall", subject.identity, chart, error)
        released = messages.not_released("uninstall", message)
        raise UninstallFailed(message, conditions={messages.RELEASED: released}) from error
    subject.tools.seen.forget(subject.identity)
    subject.run.event(
        "info",
        "UninstallSucceeded",
        messages.succeeded("uninstall", latest),
        messages.event_metadata(latest),
    )


async def is_identity_gone(release: HelmRelease, cluster: Cluster) -> bool:
    """Whether nobody is left in whose name the release could be uninstalled."""
    name = release.spec.service_account_name
    if name is None:
        return False
    account = ObjectRef("v1", "ServiceAccount", release.metadata.namespace, name)
    if await cluster.read(account) is not None:
        return False
    log.warning(
        "the release is left as it is: its ServiceAccount is gone",
        extra={"controllerKind": release.kind, "object": release.key, "account": str(account)},
    )
    return True


def _updates_in_place(attempt: Attempt) -> bool:
    upgrade = attempt.release.spec.upgrade
    return upgrade is not None and upgrade.chart_name_change_strategy == IN_PLACE
