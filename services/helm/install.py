"""The first version of a release, or the first after it was uninstalled."""

from services.helm.attempt import Attempt
from services.helm.deploy import Deployment, prepared
from services.helm.options import deploy_options
from services.helm.rendering import rendered
from shared.cluster.errors import AlreadyExists
from shared.outcomes import Failed

BEFORE, AFTER = frozenset({"pre-install"}), frozenset({"post-install"})


async def install(attempt: Attempt) -> Deployment:
    """Ready to run. Raises Failed when that cannot be; nothing is stored then."""
    options = deploy_options(attempt.release, "install")
    attempt.record = attempt.record.without_history()
    _require_a_free_name(attempt)
    version = attempt.versions[0].version + 1 if attempt.versions else 1
    result = await rendered(attempt, options, version=version)
    await _create_namespace(attempt)
    await _supersede_uninstalled(attempt)
    return await prepared(attempt, "install", options, result, (BEFORE, AFTER))


def _require_a_free_name(attempt: Attempt) -> None:
    install = attempt.release.spec.install
    if attempt.versions and not (install and install.replace):
        raise Failed(
            f"cannot reuse a name that is still in use: release {attempt.identity} was "
            "uninstalled and its history kept; delete its records, or set spec.install.replace"
        )


async def _create_namespace(attempt: Attempt) -> None:
    install = attempt.release.spec.install
    if install is None or not install.create_namespace:
        return
    name = attempt.identity.namespace
    metadata = {"name": name, "labels": {"name": name}}
    try:
        await attempt.cluster.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        )
    except AlreadyExists:
        return


async def _supersede_uninstalled(attempt: Attempt) -> None:
    for leftover in attempt.versions[:1]:
        superseded = leftover.having_info(
            status="superseded", description="superseded by new release"
        )
        await attempt.written(await attempt.storage.update(superseded))
