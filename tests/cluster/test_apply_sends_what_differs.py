from collections.abc import Callable

from shared.cluster.objects import Manifest
from shared.metrics import API_REQUESTS
from tests.cluster.conftest import Keeper

Build = Callable[..., Manifest]


def _actions(changes: object) -> list[str]:
    return [str(change) for change in changes]  # type: ignore[attr-defined]


async def test_what_is_new_is_created_and_what_changed_is_configured(
    keeper: Keeper, namespace: str, config_map: Build
) -> None:
    first = await keeper.apply(config_map("a", key="1"), config_map("b", key="1"))

    second = await keeper.apply(config_map("a", key="1"), config_map("b", key="2"))

    assert _actions(first) == [
        f"ConfigMap/{namespace}/a created",
        f"ConfigMap/{namespace}/b created",
    ]
    assert _actions(second) == [f"ConfigMap/{namespace}/b configured"]


async def test_what_is_in_place_costs_no_request(keeper: Keeper, config_map: Build) -> None:
    await keeper.apply(config_map("a", key="1"))

    before = API_REQUESTS.labels("PATCH", "200")._value.get()
    changes = await keeper.apply(config_map("a", key="1"))

    assert not len(changes)
    assert API_REQUESTS.labels("PATCH", "200")._value.get() == before


async def test_a_deployment_that_rolls_out_is_no_drift(keeper: Keeper, deployment: Build) -> None:
    web = deployment("web", replicas=2)
    changes = await keeper.apply(web)
    from datetime import timedelta

    from shared.cluster.health import Check

    await keeper.engine.health.wait(
        keeper.cluster, [Check(c.ref, c.answer) for c in changes], timedelta(seconds=20)
    )

    assert keeper.drifts == []
    assert keeper.pending(web) == []
