from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.cluster.health import Check, Nudge, Unhealthy
from shared.cluster.objects import Manifest, ref_of
from tests.cluster.conftest import Keeper

Build = Callable[..., Manifest]
SOON, LONG = timedelta(seconds=0.5), timedelta(seconds=20)


async def applied(keeper: Keeper, manifest: Manifest) -> Check:
    (change,) = await keeper.apply(manifest)
    return Check(change.ref, change.answer)


async def test_it_returns_as_soon_as_all_are_ready(keeper: Keeper, deployment: Build) -> None:
    check = await applied(keeper, deployment("web", replicas=2))

    assert await keeper.engine.health.wait(keeper.cluster, [check], LONG)

    web = await keeper.read(deployment("web"))
    assert web is not None
    assert web["status"]["readyReplicas"] == 2


async def test_an_older_state_than_our_apply_does_not_count(
    keeper: Keeper, deployment: Build
) -> None:
    check = await applied(keeper, deployment("web"))
    await keeper.engine.health.wait(keeper.cluster, [check], LONG)
    later = str(check.version + 1_000_000)
    assert check.answer is not None
    answer = check.answer | {"metadata": check.answer["metadata"] | {"resourceVersion": later}}

    with pytest.raises(Unhealthy, match="status: 'InProgress'"):
        await keeper.engine.health.wait(keeper.cluster, [Check(check.ref, answer)], SOON)


async def test_what_is_ready_by_existing_costs_no_watch(keeper: Keeper, config_map: Build) -> None:
    check = Check(ref_of(config_map("a")))

    assert await keeper.engine.health.wait(keeper.cluster, [check], timedelta())


async def test_what_is_missing_is_named_as_missing(keeper: Keeper, deployment: Build) -> None:
    check = Check(ref_of(deployment("web")), is_foreign=True)

    with pytest.raises(Unhealthy, match="status: 'NotFound'"):
        await keeper.engine.health.wait(keeper.cluster, [check], SOON)


async def test_a_nudge_ends_the_wait(keeper: Keeper, deployment: Build) -> None:
    check = Check(ref_of(deployment("web")), is_foreign=True)
    nudge = Nudge()
    nudge()

    assert not await keeper.engine.health.wait(keeper.cluster, [check], LONG, nudge)


async def test_a_job_that_removes_itself_is_done(keeper: Keeper, namespace: str) -> None:
    template = {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "job", "image": "job:1"}]}
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": namespace},
        "spec": {"ttlSecondsAfterFinished": 0, "template": template},
    }
    check = await applied(keeper, job)

    assert await keeper.engine.health.wait(keeper.cluster, [check], LONG)


async def test_it_asks_with_the_rights_of_the_owner(keeper: Keeper, deployment: Build) -> None:
    check = await applied(keeper, deployment("web"))
    powerless = keeper.cluster.as_service_account(keeper.owner.namespace, "nobody")

    with pytest.raises(Unhealthy, match="status: 'Unknown'"):
        await keeper.engine.health.wait(powerless, [check], SOON)
