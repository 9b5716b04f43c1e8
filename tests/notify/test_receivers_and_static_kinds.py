"""Receivers, Alerts and Providers as the service treats them on a real API server."""

from typing import Any

import aiohttp
import pytest

from services.notify.receiver_types import webhook_path
from shared.cluster.objects import ObjectRef
from tests.support.eventually import eventually
from tests.support.fleet import GROUP, Fleet
from tests.support.service_process import ServiceProcess


async def test_a_type_that_is_not_served_is_told_on_the_provider(
    service: ServiceProcess, fleet: Fleet
) -> None:
    await fleet.create("Provider", "chat", {"type": "discord", "address": "https://x.example/"})

    (event,) = await eventually(lambda: fleet.events_on("Provider", "chat"))

    assert (event["type"], event["reason"]) == ("Warning", "UnsupportedType")


async def test_finalizers_of_another_installation_do_not_hold_a_provider(
    service: ServiceProcess, fleet: Fleet
) -> None:
    for kind in ("Provider", "Alert"):
        spec: Any = {"type": "generic", "address": "http://x.example/"}
        if kind == "Alert":
            spec = {"providerRef": {"name": "x"}, "eventSources": []}
        await fleet.cluster.create(
            {
                "apiVersion": f"{GROUP}/v1beta3",
                "kind": kind,
                "metadata": {
                    "name": "old",
                    "namespace": fleet.namespace,
                    "finalizers": ["finalizers.fluxcd.io"],
                },
                "spec": spec,
            }
        )
        ref = ObjectRef(f"{GROUP}/v1beta3", kind, fleet.namespace, "old")
        await fleet.cluster.delete(ref)

        await eventually(lambda ref=ref: is_gone(fleet, ref))  # type: ignore[misc]


async def is_gone(fleet: Fleet, ref: ObjectRef) -> bool:
    return await fleet.cluster.read(ref) is None


SOURCE = {"kind": "GitRepository", "name": "shop"}


async def test_a_receiver_gets_a_path_and_a_webhook_on_it_requests_a_run(
    service: ServiceProcess, fleet: Fleet
) -> None:
    await fleet.secret("token", token="t0ken")
    spec = {"type": "generic", "secretRef": {"name": "token"}, "resources": [SOURCE]}
    await fleet.create("Receiver", "hook", spec, "v1")
    source = ObjectRef("source.toolkit.fluxcd.io/v1", "GitRepository", fleet.namespace, "shop")
    await fleet.cluster.create(
        {
            "apiVersion": source.api_version,
            "kind": source.kind,
            "metadata": {"name": "shop", "namespace": fleet.namespace},
            "spec": {"url": "https://git.example/shop", "interval": "1h"},
        }
    )

    path = webhook_path("t0ken", "hook", fleet.namespace)
    ready = await eventually(lambda: fleet.ready("hook"), lambda seen: seen[0] == "True")
    assert ready == ("True", "Succeeded", f"Receiver initialized for path: {path}")
    assert (await fleet.status("Receiver", "hook"))["webhookPath"] == path
    (event,) = await eventually(lambda: fleet.events_on("Receiver", "hook"))
    assert event["message"] == "Reconciliation finished, next run in 10m"

    async with (
        aiohttp.ClientSession() as session,
        session.post(service.url("RECEIVER_ADDR") + path) as answer,
    ):
        assert answer.status == 200
    found = await fleet.cluster.read(source)
    assert "reconcile.fluxcd.io/requestedAt" in (found or {})["metadata"]["annotations"]


async def test_a_receiver_without_its_token_says_so_and_recovers(
    service: ServiceProcess, fleet: Fleet
) -> None:
    spec = {"type": "generic", "secretRef": {"name": "token"}, "resources": [SOURCE]}
    await fleet.create("Receiver", "hook", spec, "v1")

    await eventually(
        lambda: fleet.ready("hook"), lambda seen: seen[:2] == ("False", "TokenNotFound")
    )
    assert "webhookPath" not in await fleet.status("Receiver", "hook")

    await fleet.secret("token", token="t0ken")
    await eventually(lambda: fleet.ready("hook"), lambda seen: seen[0] == "True")


async def test_a_labelled_token_counts_as_soon_as_it_changes(
    service: ServiceProcess, fleet: Fleet
) -> None:
    label = {"reconcile.fluxcd.io/watch": "Enabled"}
    await fleet.secret("token", label, token="old")
    spec = {
        "type": "generic",
        "interval": "1h",
        "secretRef": {"name": "token"},
        "resources": [SOURCE],
    }
    await fleet.create("Receiver", "hook", spec, "v1")
    await eventually(lambda: fleet.ready("hook"), lambda seen: seen[0] == "True")

    await fleet.secret("token", label, token="new")

    path = webhook_path("new", "hook", fleet.namespace)
    await eventually(
        lambda: fleet.status("Receiver", "hook"), lambda status: status["webhookPath"] == path
    )


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"type": "github"}, "spec.type"),
        ({"resourceFilter": "true"}, "spec.resourceFilter"),
        ({"resources": [{**SOURCE, "filter": "true"}]}, "spec.resources[0].filter"),
    ],
)
async def test_what_a_receiver_cannot_have_is_named_and_final(
    service: ServiceProcess, fleet: Fleet, changes: dict[str, Any], names: str
) -> None:
    spec = {"type": "generic", "secretRef": {"name": "token"}, "resources": [SOURCE], **changes}
    await fleet.secret("token", token="t0ken")
    await fleet.create("Receiver", "hook", spec, "v1")

    seen = await eventually(lambda: fleet.ready("hook"), lambda seen: seen[0] == "False")
    conditions = (await fleet.status("Receiver", "hook"))["conditions"]

    assert seen[1] == "UnsupportedField"
    assert names in seen[2]
    assert ("Stalled", "True") in {(c["type"], c["status"]) for c in conditions}
