"""What stands between us and a good object: webhooks that are away or slow, and sizes."""

import time

import yaml
from aiohttp import web

from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

DOWN = 'Internal error occurred: failed calling webhook "judge.example": connection refused'


def answering(message: str, status: int) -> web.Response:
    return web.json_response({"kind": "Status", "code": status, "message": message}, status=status)


async def test_a_webhook_that_is_away_is_named_and_its_return_noticed(world: World) -> None:
    away = [True]

    def rule(request: web.Request) -> web.Response | None:
        is_judged = request.method == "PATCH" and "/configmaps/a" in request.path
        return answering(DOWN, 500) if away[0] and is_judged else None

    world.gate.rules.append(rule)
    revision = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace)

    ready = await world.ready_is("apps", "ReconciliationFailed")
    assert ready["message"] == f"ConfigMap/{world.namespace}/a: {DOWN}"
    assert await world.names_of() == set()

    away[0] = False
    await world.applied("apps", revision)
    assert await world.names_of() == {"a", "b"}


async def test_a_slow_webhook_holds_up_its_object_only(world: World) -> None:
    slow = await world.publish({"a.yaml": config_map("a")})
    quick = await world.publish({"b.yaml": config_map("b")}, source="other")
    world.gate.refuse(
        f"PATCH /api/v1/namespaces/{world.namespace}/configmaps/a?", 429, 1, {"Retry-After": "3"}
    )
    await world.create("slow", targetNamespace=world.namespace)
    await eventually(lambda: world.gate.count("PATCH /api/v1/namespaces"))
    started = time.monotonic()

    source = {"kind": "GitRepository", "name": "other"}
    await world.create("quick", targetNamespace=world.namespace, sourceRef=source)
    await world.applied("quick", quick)

    assert time.monotonic() - started < 2.5
    assert await world.names_of() == {"b"}
    await world.applied("slow", slow)


async def test_an_object_that_is_too_large_is_named_and_nothing_is_applied(world: World) -> None:
    large = config_map("large", key="x" * 1_200_000)
    await world.publish({"a.yaml": config_map("a"), "large.yaml": large})
    await world.create("apps", targetNamespace=world.namespace)

    ready = await world.ready_is("apps", "ReconciliationFailed")

    assert ready["message"].startswith(f"ConfigMap/{world.namespace}/large: ")
    assert "Too long" in ready["message"]
    assert await world.names_of() == set()


async def test_all_documents_that_are_no_objects_are_told_at_once(world: World) -> None:
    def secret(name: str) -> str:
        kind = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        return yaml.safe_dump(kind | {"data": {"key": "no base64!"}})

    await world.publish({"a.yaml": secret("a"), "b.yaml": secret("b"), "c.yaml": config_map("c")})
    await world.create("apps", targetNamespace=world.namespace)

    ready = await world.ready_is("apps", "BuildFailed")

    first, second = ready["message"].splitlines()
    assert first.startswith(f"Secret/{world.namespace}/a is invalid")
    assert second.startswith(f"Secret/{world.namespace}/b is invalid")
