"""Hooks of a chart: in their order, to their end, and what is left of them."""

from typing import Any

from tests.helm.conftest import Helm, condition
from tests.support.charts import a_chart, a_config_map, a_hook
from tests.support.eventually import eventually

GREETING = {"greeting.yaml": a_config_map("greeting", text="{{ .Values.text }}")}
VALUES = {"text": "default"}


async def hook_runs(helm: Helm) -> dict[str, str]:
    """When each hook of the release ended well, by name."""
    status = await helm.cli_json("status", "shop")
    return {
        hook["name"]: hook["last_run"]["completed_at"]
        for hook in status["hooks"]
        if hook["last_run"].get("phase") == "Succeeded"
    }


async def job(helm: Helm, name: str) -> Any:
    return await helm.object(name, "Job", "batch/v1")


async def test_hooks_run_by_weight_before_and_after_the_rest(helm_service: Helm) -> None:
    helm = helm_service
    hooks = {
        "c.yaml": a_hook("second", "pre-install", weight=2),
        "b.yaml": a_hook("first", "pre-install", weight=-1),
        "a.yaml": a_hook("last", "post-install"),
        "d.yaml": a_hook("never", "pre-upgrade,test"),
    }
    await helm.release()
    await helm.publish(a_chart(templates={**GREETING, **hooks}, values=VALUES))

    await helm.ready()

    runs = await hook_runs(helm)
    assert sorted(runs, key=lambda name: runs[name]) == ["first", "second", "last"]
    greeting = await helm.object("greeting")
    second, last = await job(helm, "second"), await job(helm, "last")
    assert greeting is not None
    applied = int(greeting["metadata"]["resourceVersion"])
    assert int(second["metadata"]["resourceVersion"]) < applied
    assert int(last["metadata"]["resourceVersion"]) > applied
    assert await job(helm, "never") is None


async def test_a_hook_is_made_anew_for_each_upgrade(helm_service: Helm) -> None:
    helm = helm_service
    chart = a_chart(
        templates={**GREETING, "hook.yaml": a_hook("migrate", "pre-install,pre-upgrade")},
        values=VALUES,
    )
    await helm.release()
    await helm.publish(chart)
    await helm.ready()
    first = await job(helm, "migrate")

    await helm.release(values={"text": "two"})
    await helm.ready(version=2)

    second = await job(helm, "migrate")
    assert first["metadata"]["uid"] != second["metadata"]["uid"]


async def test_a_hook_that_succeeded_is_deleted_when_it_says_so(helm_service: Helm) -> None:
    helm = helm_service
    hook = a_hook("migrate", "pre-install", policy="hook-succeeded")
    await helm.release()
    await helm.publish(a_chart(templates={**GREETING, "hook.yaml": hook}, values=VALUES))

    await helm.ready()

    assert await hook_runs(helm) != {}
    assert await job(helm, "migrate") is None


async def test_a_failed_hook_fails_the_release_before_anything_is_applied(
    helm_service: Helm,
) -> None:
    helm = helm_service
    hooks = {
        "a.yaml": a_hook("good", "pre-install", weight=1, policy="hook-succeeded"),
        "b.yaml": a_hook("bad", "pre-install", weight=2, fails=True, policy="hook-failed"),
        "c.yaml": a_hook("later", "pre-install", weight=3),
    }
    await helm.release()
    await helm.publish(a_chart(templates={**GREETING, **hooks}, values=VALUES))

    release = await helm.failing("InstallFailed")

    message = condition(release, "Ready")["message"]
    assert f"hook shop/templates/b.yaml failed: Job/{helm.namespace}/bad failed: " in message
    assert await helm.object("greeting") is None
    assert [await job(helm, name) for name in ("good", "bad", "later")] == [None, None, None]
    assert await helm.records() == {1: "failed"}
    status = await helm.cli_json("status", "shop")
    phases = {hook["name"]: hook["last_run"].get("phase") for hook in status["hooks"]}
    assert (phases["good"], phases["bad"]) == ("Succeeded", "Failed")


async def test_hooks_can_be_left_out(helm_service: Helm) -> None:
    helm = helm_service
    hook = a_hook("migrate", "pre-install", fails=True)
    await helm.release(install={"disableHooks": True})
    await helm.publish(a_chart(templates={**GREETING, "hook.yaml": hook}, values=VALUES))

    await helm.ready()

    assert await job(helm, "migrate") is None


async def test_delete_hooks_run_around_an_uninstall(helm_service: Helm) -> None:
    helm = helm_service
    hooks = {
        "a.yaml": a_hook("farewell", "pre-delete"),
        "b.yaml": a_hook("sweep", "post-delete"),
    }
    await helm.release()
    await helm.publish(a_chart(templates={**GREETING, **hooks}, values=VALUES))
    await helm.ready()

    await helm.delete()

    await eventually(helm.records, lambda records: records == {})
    assert await helm.object("greeting") is None
    assert (await job(helm, "farewell"))["status"]["succeeded"] == 1
    assert (await job(helm, "sweep"))["status"]["succeeded"] == 1
