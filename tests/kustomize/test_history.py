"""`status.history` tells apart what was built, and nothing else."""

from typing import Any

import pytest

from shared.engine import Engine
from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

TRICKY = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: tricky
  annotations:
    text: {word}
data:
  lines: |
    first {word}
      second: {word}
  quoted: '{word}'
  number: "8080"
  wide: "äöü ☃"
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  ports:
    - port: {port}
"""


def as_values() -> str:
    return TRICKY.replace("{port}", "8080").replace("{word}", "so it is")


def as_variables() -> str:
    return TRICKY.replace("{port}", "${port}").replace("{word}", "${word}")


async def history(world: World, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await world.status(name))["history"]
    return found


async def test_the_digest_is_of_what_substitution_made(world: World) -> None:
    plain = await world.publish({"a.yaml": as_values()}, source="plain")
    varied = await world.publish({"a.yaml": as_variables()}, source="varied")
    variables = {"port": "8080", "word": "so it is"}
    await world.create(
        "plain",
        targetNamespace=world.namespace,
        sourceRef={"kind": "GitRepository", "name": "plain"},
    )
    await world.applied("plain", plain)
    await world.create(
        "varied",
        targetNamespace=world.namespace,
        sourceRef={"kind": "GitRepository", "name": "varied"},
        postBuild={"substitute": variables},
        commonMetadata={"labels": {"team": "a"}},
    )
    await world.applied("varied", varied)

    [of_plain], [of_varied] = await history(world, "plain"), await history(world, "varied")
    assert of_varied["digest"] == of_plain["digest"]


async def test_other_values_are_another_entry(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a", key="${word}")})
    for word in ("one", "two"):
        await world.create(
            "apps", targetNamespace=world.namespace, postBuild={"substitute": {"word": word}}
        )
        if word == "one":
            await world.applied("apps", revision)
    await world.ready_is("apps", "ReconciliationSucceeded", "True")

    async def two() -> bool:
        return len({each["digest"] for each in await history(world, "apps")}) == 2

    await eventually(two)


async def test_five_entries_are_kept_the_newest_first(world: World) -> None:
    revisions = []
    for number in range(7):
        revisions.append(await world.publish({"a.yaml": config_map("a", key=str(number))}))
        if number == 0:
            await world.create("apps", targetNamespace=world.namespace)
        await world.applied("apps", revisions[-1])

    entries = await history(world, "apps")

    assert [each["metadata"]["revision"] for each in entries] == revisions[:1:-1]


async def test_a_failure_after_the_build_is_an_entry_of_its_own(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace, retryInterval="1h")
    await world.applied("apps", first)

    await world.publish({"a.yaml": config_map("A-is-no-name")})
    await world.ready_is("apps", "ReconciliationFailed")

    statuses = [each["lastReconciledStatus"] for each in await history(world, "apps")]
    assert statuses == ["ReconciliationFailed", "ReconciliationSucceeded"]


async def test_a_failed_build_is_none(world: World) -> None:
    await world.publish({"a.yaml": "kind: ["})
    await world.create("apps", targetNamespace=world.namespace, retryInterval="1h")
    await world.ready_is("apps", "BuildFailed")

    assert "history" not in await world.status("apps")


@pytest.mark.parametrize(
    "objects",
    [
        [],
        [{"kind": "A", "number": 1, "big": 2**60, "real": 0.5, "none": None, "text": "1"}],
        [{"b": [1, {"z": "ü", "a": "line\nline\n"}]}, {"yes": "yes", "no": False}],
    ],
)
async def test_equal_objects_have_equal_digests_whatever_their_order(
    engine: Engine, objects: list[dict[str, Any]]
) -> None:
    turned = [dict(reversed(each.items())) for each in objects]

    assert await engine.yaml_digest(turned) == await engine.yaml_digest(objects)
    assert await engine.yaml_digest([*objects, {}]) != await engine.yaml_digest(objects)
