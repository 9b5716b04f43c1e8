import time
from collections.abc import Mapping

import msgspec
import pytest

from services.kustomize.dependency_order import in_dependency_order
from services.kustomize.depends_on import unmet
from shared.dependencies import DependencyRef, circle_of
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact, Condition, NamespacedName
from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

NEW, OLD = "main@sha1:2", "main@sha1:1"
ARTIFACT = Artifact(digest="sha256:0", path="", url="", revision=NEW, last_update_time="")


def a_kustomization(name: str, *depends_on: str, **status: object) -> Kustomization:
    stored = {
        "metadata": {"name": name, "namespace": "shop", "generation": 1},
        "spec": {
            "interval": "1m",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "shop"},
            "dependsOn": [{"name": each} for each in depends_on],
        },
        "status": status,
    }
    return msgspec.convert(stored, Kustomization)


def ready(
    name: str, revision: str = NEW, *, observed: int = 1, status: str = "True"
) -> Kustomization:
    condition = Condition(
        type="Ready", status=status, reason="", message="", last_transition_time=""
    )
    return a_kustomization(
        name,
        conditions=[msgspec.to_builtins(condition)],
        observedGeneration=observed,
        lastAppliedRevision=revision,
    )


def world_of(*kustomizations: Kustomization) -> Mapping[NamespacedName, Kustomization]:
    return {each.key: each for each in kustomizations}


@pytest.mark.parametrize(
    ("dependency", "problem"),
    [
        (ready("base"), None),
        (None, "dependency 'shop/base' not found"),
        (a_kustomization("base"), "dependency 'shop/base' is not ready"),
        (ready("base", status="False"), "dependency 'shop/base' is not ready"),
        (ready("base", observed=0), "dependency 'shop/base' is not ready"),
        (ready("base", OLD), "dependency 'shop/base' revision is not up to date"),
    ],
    ids=["ready", "missing", "never ran", "failed", "old generation", "old revision"],
)
def test_a_dependency_must_be_there_and_ready_at_the_same_revision(
    dependency: Kustomization | None, problem: str | None
) -> None:
    known = world_of(*([dependency] if dependency else []))

    assert unmet(a_kustomization("apps", "base"), ARTIFACT, known) == problem


def test_a_dependency_of_another_source_may_be_at_any_revision() -> None:
    base = ready("base", "other@sha1:9")
    elsewhere = msgspec.structs.replace(base.spec.source_ref, name="elsewhere")
    spec = msgspec.structs.replace(base.spec, source_ref=elsewhere)
    known = world_of(msgspec.structs.replace(base, spec=spec))

    assert unmet(a_kustomization("apps", "base"), ARTIFACT, known) is None


@pytest.mark.parametrize(
    ("others", "circle"),
    [
        ({"a": ["a"]}, ["a", "a"]),
        ({"a": ["b"], "b": ["a"]}, ["a", "b", "a"]),
        ({"a": ["b"], "b": ["x", "c"], "c": ["a"], "x": []}, ["a", "b", "c", "a"]),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, []),
        ({"a": ["b"], "b": []}, []),
    ],
    ids=["itself", "two", "three", "not its own", "none"],
)
async def test_a_circle_is_named(others: dict[str, list[str]], circle: list[str]) -> None:
    known = world_of(*(a_kustomization(name, *targets) for name, targets in others.items()))

    async def lookup(ref: DependencyRef) -> Kustomization | None:
        return known.get(ref.key)

    found = await circle_of(a_kustomization("a", *others["a"]), lookup)

    assert [ref.name for ref in found] == circle


def test_dependencies_come_before_those_who_depend_on_them() -> None:
    known = world_of(
        a_kustomization("a", "b", "c"),
        a_kustomization("b", "c"),
        a_kustomization("c"),
        a_kustomization("x", "y"),
        a_kustomization("y", "x"),
    )

    order = [key.name for key in in_dependency_order(known, known)]

    assert sorted(order) == ["a", "b", "c", "x", "y"]
    assert order.index("c") < order.index("b") < order.index("a")


async def test_a_chain_is_applied_link_by_link_without_polling(world: World) -> None:
    names = [f"link-{number}" for number in range(8)]
    files = {f"{name}/a.yaml": config_map(name) for name in names}
    for name, before in zip(names, [None, *names], strict=False):
        await world.create(
            name,
            path=f"./{name}",
            targetNamespace=world.namespace,
            dependsOn=[{"name": before}] if before else [],
        )
    started = time.monotonic()

    revision = await world.publish(files)
    await world.applied(names[-1], revision)

    assert time.monotonic() - started < 4.0
    assert await world.names_of() == set(names)


async def test_a_chain_does_not_turn_unready_with_a_commit(world: World) -> None:
    def files(value: str) -> dict[str, str]:
        return {f"{name}/a.yaml": config_map(name, key=value) for name in ("base", "apps")}

    first = await world.publish(files("1"))
    await world.create("base", path="./base", targetNamespace=world.namespace)
    await world.create(
        "apps", path="./apps", targetNamespace=world.namespace, dependsOn=[{"name": "base"}]
    )
    await world.applied("apps", first)
    world.recorder.clear()

    second = await world.publish(files("2"))
    await world.applied("apps", second)

    assert world.recorder.of("apps", "DependencyNotReady") == []


async def test_what_waits_for_a_dependency_says_so(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace, dependsOn=[{"name": "base"}])

    ready = await world.ready_is("apps", "DependencyNotReady")
    assert ready["message"] == f"dependency '{world.namespace}/base' not found"
    assert world.recorder.of("apps", "DependencyNotReady") == [
        "Dependencies do not meet ready condition, retrying in 30s"
    ]

    await world.create("base", targetNamespace=world.namespace, nameSuffix="-base")
    await world.applied("apps", revision)


async def test_a_circle_stalls_all_of_it_until_somebody_cuts_it(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a")})
    for name, other in (("one", "two"), ("two", "one")):
        await world.create(
            name,
            targetNamespace=world.namespace,
            nameSuffix=f"-{name}",
            dependsOn=[{"name": other}],
        )
    for name in ("one", "two"):
        stalled = await eventually(
            lambda name=name: world.condition(name, "Stalled"),  # type: ignore[misc]
        )
        assert "dependency cycle" in stalled["message"]

    await world.change("one", dependsOn=[])

    await world.applied("two", revision)
