"""What could not be kept on record is not applied."""

import pytest

from services.kustomize import stored
from tests.kustomize.conftest import World, config_map


@pytest.fixture(autouse=True)
def _small_statuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "INVENTORY_LIMIT", 400)


def named(prefix: str, count: int) -> dict[str, str]:
    return {f"{place}.yaml": config_map(f"{prefix}-{place}") for place in range(count)}


async def test_too_many_objects_are_refused_before_the_first_is_applied(world: World) -> None:
    await world.publish(named("many", 20))
    await world.create("apps", targetNamespace=world.namespace)

    ready = await world.ready_is("apps", "ReconciliationFailed")

    assert ready["message"].startswith("the inventory of 20 objects takes ")
    assert "divide the objects among several Kustomizations" in ready["message"]
    assert await world.names_of() == set()
    assert "inventory" not in await world.status("apps")


async def test_a_rename_of_all_that_does_not_fit_leaves_what_is_there(world: World) -> None:
    first = await world.publish(named("old", 5))
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    await world.publish(named("new", 5))
    ready = await world.ready_is("apps", "ReconciliationFailed")

    assert "with the 5 that they replace" in ready["message"]
    assert await world.names_of() == {f"old-{place}" for place in range(5)}
