"""`dependsOn[].readyExpr`: users say when a dependency counts as ready."""

from collections.abc import Sequence

import pytest

from shared.engine import Engine
from shared.engine_messages import Answered, Question
from shared.ready_expressions import ReadyExpressions
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName
from tests.kustomize.conftest import World, config_map, serving, tidy
from tests.kustomize.test_wait import never_ready
from tests.support.eventually import eventually
from tests.support.holding import held

LABELLED = "has(dep.metadata.labels) && dep.metadata.labels[?'stage'].orValue('') == 'done'"


async def label(world: World, name: str, **labels: str) -> None:
    ref = world.ref(name, "Kustomization", "kustomize.toolkit.fluxcd.io/v1")
    await world.cluster.merge_patch(ref, {"metadata": {"labels": labels}}, manager="tests")


async def two(world: World, expression: str, *, base_is_ready: bool = True) -> str:
    """`apps` depends on `base` by an expression."""
    revision = await the_base(world, is_ready=base_is_ready)
    await the_apps(world, expression)
    return revision


async def the_base(world: World, *, is_ready: bool = True) -> str:
    files = {"apps/a.yaml": config_map("apps"), "base/b.yaml": config_map("base")}
    if not is_ready:
        files["base/claim.yaml"] = never_ready("data")
    revision = await world.publish(files)
    await world.create(
        "base", path="./base", targetNamespace=world.namespace, wait=True, timeout="10m"
    )
    return revision


async def the_apps(world: World, expression: str) -> None:
    await world.create(
        "apps",
        path="./apps",
        targetNamespace=world.namespace,
        dependsOn=[{"name": "base", "readyExpr": expression}],
    )


async def test_an_expression_stands_in_for_the_check_of_what_is_ready(world: World) -> None:
    revision = await two(world, "dep.spec.interval == self.spec.interval", base_is_ready=False)

    await world.applied("apps", revision)

    assert "lastAppliedRevision" not in await world.status("base")


async def test_what_waits_is_woken_when_its_expression_gets_true(world: World) -> None:
    revision = await the_base(world)
    await world.applied("base", revision)
    await the_apps(world, LABELLED)
    ready = await world.ready_is("apps", "DependencyNotReady")
    assert ready["message"] == (
        f"dependency '{world.namespace}/base' is not ready: its expression is not true"
    )

    await label(world, "base", stage="done")

    await world.applied("apps", revision)


async def test_the_gate_asks_for_both(idle_world: World, engine: Engine) -> None:
    async with held(serving(idle_world, engine, additive_ready_expr=True)):
        await two(idle_world, "true", base_is_ready=False)
        ready = await idle_world.ready_is("apps", "DependencyNotReady")
        await tidy(idle_world)

    assert ready["message"] == f"dependency '{idle_world.namespace}/base' is not ready"


async def test_what_has_no_value_yet_is_waited_for_and_said(world: World) -> None:
    await two(world, "dep.status.nothing == 'yes'")

    ready = await world.ready_is("apps", "DependencyNotReady")

    assert "its expression has no value: no such key: nothing" in ready["message"]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("dep.status ==", "Syntax error"),
        ("other.status", "undeclared reference"),
        ("1", "is a int"),
    ],
)
async def test_an_expression_that_can_never_be_evaluated_stalls(
    world: World, expression: str, said: str
) -> None:
    await two(world, expression)

    stalled = await eventually(lambda: world.condition("apps", "Stalled"))

    assert stalled["reason"] == "InvalidCELExpression"
    assert "configuration error: spec.dependsOn[0].readyExpr: " in stalled["message"]
    assert said in stalled["message"]


class Counting:
    """Says yes, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def require_valid(self, texts: dict[str, str], declared: tuple[str, ...] = ()) -> None:
        raise AssertionError(texts, declared)

    async def answers(self, questions: Sequence[Question]) -> list[tuple[Answered, ...]]:
        self.asked += len(questions)
        return [(Answered(truth=True),) for _ in questions]


async def test_an_answer_stands_until_one_of_the_two_has_changed(idle_world: World) -> None:
    world, counting = idle_world, Counting()
    await two(world, "true")
    expressions = ReadyExpressions(world.cluster, counting)

    async def looked_at() -> str | None:
        keys = (NamespacedName(world.namespace, name) for name in ("apps", "base"))
        apps, base = [await world.cluster.get(Kustomization, key) for key in keys]
        assert apps is not None
        assert base is not None
        return await expressions.problem(apps, base, apps.spec.depends_on[0])

    assert [await looked_at(), await looked_at()] == [None, None]
    assert counting.asked == 1

    await label(world, "base", stage="done")
    await looked_at()
    await label(world, "apps", stage="done")
    await looked_at()
    assert counting.asked == 3
