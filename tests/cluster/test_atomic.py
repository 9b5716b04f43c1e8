"""Of several objects either all are taken or none is written; or, asked to converge, all that can
be."""

from collections.abc import AsyncIterator, Callable

import pytest

from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ObjectRef
from shared.cluster.refusal import Refused
from shared.metrics import API_REQUESTS
from tests.cluster.conftest import Keeper

Build = Callable[..., Manifest]
WEBHOOKS = "ValidatingWebhookConfiguration"


@pytest.fixture
def service(namespace: str) -> Build:
    def build(name: str, port: int) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": [{"port": port}]},
        }

    return build


@pytest.fixture
async def webhooks(cluster: Cluster, namespace: str) -> AsyncIterator[Manifest]:
    """A configuration that judges nothing."""
    name = f"judge-{namespace}"
    webhook = {
        "name": "judge.shop.example",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [],
    }
    yield {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": WEBHOOKS,
        "metadata": {"name": name},
        "webhooks": [webhook],
    }
    await cluster.delete(ObjectRef("admissionregistration.k8s.io/v1", WEBHOOKS, "", name))


def writes() -> float:
    return API_REQUESTS.labels("PATCH", "200")._value.get() + (  # type: ignore[no-any-return]
        API_REQUESTS.labels("PATCH", "201")._value.get()
    )


async def test_one_refused_object_keeps_all_from_being_written(
    keeper: Keeper, config_map: Build, deployment: Build, service: Build
) -> None:
    good = [config_map("a"), config_map("b"), deployment("web")]

    with pytest.raises(Refused) as refused:
        await keeper.apply(*good, service("c", 0), service("d", 70000), atomic=True)

    assert [each.ref.name for each in refused.value.refusals] == ["c", "d"]
    assert [await keeper.read(each) for each in good] == [None, None, None]
    assert not refused.value.changes.different


async def test_converging_applies_all_but_the_refused_one(
    keeper: Keeper, config_map: Build, deployment: Build, service: Build
) -> None:
    good = [config_map("a"), config_map("b"), deployment("web")]

    with pytest.raises(Refused) as refused:
        await keeper.apply(*good, service("c", 0))

    assert all([await keeper.read(each) for each in good])
    assert len(refused.value.changes.different) == 3
    assert keeper.pending(*good, service("c", 0)) == ["c"]


async def test_a_lone_object_is_not_rehearsed(keeper: Keeper, config_map: Build) -> None:
    before = writes()

    await keeper.apply(config_map("a"), atomic=True)
    assert writes() == before + 1

    await keeper.apply(config_map("a"), config_map("b"), config_map("c"), atomic=True)
    assert writes() == before + 1 + 2 * 2


async def test_what_needs_its_neighbour_is_not_refused_for_it(
    keeper: Keeper, namespace: str
) -> None:
    where = {"namespace": namespace}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", **where}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "worker", **where},
        "spec": {"serviceAccountName": "robot", "containers": [{"name": "a", "image": "a:1"}]},
    }

    changes = await keeper.apply(pod, account, atomic=True)

    assert [each.action for each in changes] == ["created", "created"]


async def test_a_namespace_that_is_not_there_is_no_neighbour(
    keeper: Keeper, namespace: str, config_map: Build
) -> None:
    missing = f"{namespace}-missing"
    stray = config_map("stray")
    stray["metadata"]["namespace"] = missing

    with pytest.raises(Refused):
        await keeper.apply(stray, config_map(missing), atomic=True)

    assert await keeper.read(config_map(missing)) is None


async def test_what_force_may_recreate_counts_as_taken(keeper: Keeper, config_map: Build) -> None:
    await keeper.apply(config_map("a", key="1") | {"immutable": True})

    changes = await keeper.apply(
        config_map("a", key="2") | {"immutable": True}, config_map("b"), atomic=True, force=True
    )

    assert {each.ref.name for each in changes.different} == {"a", "b"}


async def test_force_does_not_delete_what_would_be_refused_as_new_too(
    keeper: Keeper, service: Build
) -> None:
    await keeper.apply(service("a", 80))
    before = await keeper.read(service("a", 80))

    with pytest.raises(Refused):
        await keeper.apply(service("a", 0), force=True)

    after = await keeper.read(service("a", 80))
    assert before
    assert after
    assert before["metadata"]["uid"] == after["metadata"]["uid"]


async def test_webhooks_wait_for_what_answers_them(
    keeper: Keeper, deployment: Build, webhooks: Manifest
) -> None:
    with pytest.raises(Refused):
        await keeper.apply(webhooks, deployment("web", replicas=-1))
    assert await keeper.read(webhooks) is None

    await keeper.apply(webhooks, deployment("web"))
    assert await keeper.read(webhooks) is not None


async def test_a_kind_that_nobody_serves_keeps_all_from_being_written(
    keeper: Keeper, namespace: str, config_map: Build
) -> None:
    unknown = {
        "apiVersion": "shop.example/v1",
        "kind": "Basket",
        "metadata": {"name": "b", "namespace": namespace},
    }

    with pytest.raises(Refused):
        await keeper.apply(config_map("a"), unknown, atomic=True)

    assert await keeper.read(config_map("a")) is None
