"""An instance looks after those Kustomizations that it is given, and listens as it is told."""

from services.kustomize.policy import Policy
from shared.engine import Engine
from shared.settings import load
from shared.threshold import Threshold
from tests.kustomize.conftest import KUSTOMIZE, World, config_map, serving, tidy
from tests.support.eventually import eventually

SHARD = "sharding.fluxcd.io/key"


async def label(world: World, name: str, value: str) -> None:
    await world.cluster.merge_patch(
        world.ref(name, "Kustomization", KUSTOMIZE),
        {"metadata": {"labels": {SHARD: value}}},
        manager="tests",
    )


async def test_only_its_own_shard_is_reconciled(idle_world: World, engine: Engine) -> None:
    revision = await idle_world.publish({"a.yaml": config_map("a")})
    for name in ("mine", "foreign"):
        await idle_world.create(name, targetNamespace=idle_world.namespace, nameSuffix=f"-{name}")
    await label(idle_world, "mine", "one")
    await label(idle_world, "foreign", "two")

    async with serving(idle_world, engine, labels=f"{SHARD}=one"):
        await idle_world.applied("mine", revision)
        assert await idle_world.names_of() == {"a-mine"}
        assert await idle_world.condition("foreign") == {}

        await label(idle_world, "foreign", "one")
        await idle_world.applied("foreign", revision)
        await tidy(idle_world)


async def test_only_its_own_namespace_is_looked_at(idle_world: World, engine: Engine) -> None:
    await idle_world.publish({"a.yaml": config_map("a")})
    await idle_world.create("apps", targetNamespace=idle_world.namespace)

    async with serving(idle_world, engine, namespace="default"):
        await idle_world.publish({"a.yaml": config_map("a", key="2")})
        assert await idle_world.names_of() == set()
        watched = [line for line in idle_world.gate.seen if "watch=1" in line]
        assert any("/kustomizations?" in line for line in watched)
        assert any("/gitrepositories?" in line for line in watched)
        assert all("/namespaces/default/" in line for line in watched)


async def test_configuration_with_other_labels_is_followed_on_demand(
    idle_world: World, engine: Engine
) -> None:
    def holder(color: str) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "colors",
                "namespace": idle_world.namespace,
                "labels": {"follow": "me"},
            },
            "data": {"color": color},
        }

    async with serving(idle_world, engine, watched_configuration="follow=me"):
        await idle_world.cluster.apply(holder("red"), manager="tests")
        revision = await idle_world.publish({"a.yaml": config_map("a", color="${color}")})
        await idle_world.create(
            "apps",
            targetNamespace=idle_world.namespace,
            postBuild={"substituteFrom": [{"kind": "ConfigMap", "name": "colors"}]},
        )
        await idle_world.applied("apps", revision)

        await idle_world.cluster.apply(holder("blue"), manager="tests")

        async def color() -> str:
            return str((await idle_world.read("a"))["data"]["color"])

        await eventually(color, lambda seen: seen == "blue")
        await tidy(idle_world)


def test_settings_and_gates_reach_the_policy() -> None:
    environment = {
        "PRUNE_LIMIT": "20%",
        "WATCH_ALL_NAMESPACES": "false",
        "RUNTIME_NAMESPACE": "gitops",
        "WATCH_LABEL_SELECTOR": f"{SHARD}=one",
        "REQUEUE_DEPENDENCY": "5s",
        "FEATURE_GATES": "StrictPostBuildSubstitutions=false,DisableConfigWatchers=true",
    }

    policy = Policy.of(load(environment))

    assert policy.prune_limit == Threshold(20, is_share=True)
    assert (policy.namespace, policy.labels) == ("gitops", f"{SHARD}=one")
    assert policy.pace.waiting.total_seconds() == 5
    assert (policy.strict_substitution, policy.watched_configuration) == (False, "")


def test_by_default_it_is_as_flux_has_it_but_for_the_brake() -> None:
    policy = Policy.of(load({}))

    assert (policy.namespace, policy.labels) == ("", "")
    assert policy.watched_configuration == "reconcile.fluxcd.io/watch=Enabled"
    assert policy.strict_substitution
