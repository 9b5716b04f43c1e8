"""What is missing is told at once, or, where the operator says so, is nothing."""

from shared.engine import Engine
from tests.kustomize.conftest import World, config_map, serving, tidy


async def test_everything_that_is_missing_is_told_at_once(world: World) -> None:
    await world.publish(
        {
            "a.yaml": config_map("a", one="${unset} ${set}", two="${gone} ${unset}"),
            "b.yaml": config_map("b", key="${broken"),
            "c.yaml": config_map("c", key="${set}"),
        }
    )
    await world.create(
        "apps", targetNamespace=world.namespace, postBuild={"substitute": {"set": "x"}}
    )

    ready = await world.ready_is("apps", "BuildFailed")

    first, second = ready["message"].splitlines()
    assert first == (
        f"post build failed for 'ConfigMap/{world.namespace}/a': "
        'variable not set (strict mode): "unset", "gone"'
    )
    assert second.startswith(
        f"post build failed for 'ConfigMap/{world.namespace}/b': bad substitution in line"
    )
    assert await world.names_of() == set()


async def test_every_reference_and_name_that_will_not_do_is_told(world: World) -> None:
    await world.publish({"a.yaml": config_map("a")})
    missing = [{"kind": "ConfigMap", "name": "one"}, {"kind": "Secret", "name": "two"}]
    holder = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "odd", "namespace": world.namespace},
        "data": {"no-name": "x"},
    }
    await world.cluster.apply(holder, manager="tests")
    await world.create(
        "apps",
        targetNamespace=world.namespace,
        postBuild={"substituteFrom": [*missing, {"kind": "ConfigMap", "name": "odd"}]},
    )

    ready = await world.ready_is("apps", "BuildFailed")

    assert ready["message"].splitlines() == [
        f"substitute from 'ConfigMap/one' error: not found in namespace {world.namespace}",
        f"substitute from 'Secret/two' error: not found in namespace {world.namespace}",
        "'no-name' is no name of a variable: letters, digits and _ only, no digit first",
    ]


async def test_without_strictness_what_is_not_set_is_nothing(
    idle_world: World, engine: Engine
) -> None:
    async with serving(idle_world, engine, strict_substitution=False):
        revision = await idle_world.publish({"a.yaml": config_map("a", key="<${unset}>")})
        await idle_world.create(
            "apps", targetNamespace=idle_world.namespace, postBuild={"substitute": {"set": "x"}}
        )
        await idle_world.applied("apps", revision)

        assert (await idle_world.read("a"))["data"] == {"key": "<>"}
        await tidy(idle_world)
