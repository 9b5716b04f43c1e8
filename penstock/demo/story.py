"""What the demo shows: a fleet in Git becomes running applications, and stays what Git says.

Each step does what a person would do, waits until the cluster shows it, and says what it saw.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import aiohttp

from penstock.demo.cluster_facts import (
    HELM_RELEASE,
    KUSTOMIZATION,
    NotInTime,
    becomes,
    deployment,
    image_of,
    is_ready,
    ready_condition,
    rolled_out,
)
from penstock.demo.sink import Sink
from penstock.local.git_repository import Repository
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ObjectRef

FLEET = Path(__file__).parent.parent.parent / "examples" / "fleet"
NAMESPACE = "flux-system"
STOREFRONT = deployment("storefront", "storefront")
GREETER = deployment("greeter", "greeter")
OVERLAY = "manifests/staging/kustomization.yaml"
BASE = "manifests/base/kustomization.yaml"
SERVICE = "manifests/base/service.yaml"
RECEIVER_TOKEN = "a-random-text"  # noqa: S105  (the demo's own; its receiver listens on loopback)
GIT_REPOSITORY = "source.toolkit.fluxcd.io/v1"
RECEIVER = "notification.toolkit.fluxcd.io/v1"

Step: TypeAlias = Callable[[], Awaitable[str]]


async def nothing() -> None:
    """What happens meanwhile, when nobody interferes."""


def kustomization(name: str) -> ObjectRef:
    return ObjectRef(KUSTOMIZATION, "Kustomization", NAMESPACE, name)


@dataclass
class Story:
    """`webhooks` is the address of the notify service's webhook receiver.

    `meanwhile` is called in the middle of each step: the change is made, its effect not seen.
    """

    cluster: Cluster
    fleet: Repository
    sink: Sink
    webhooks: str
    meanwhile: Callable[[], Awaitable[None]] = nothing

    @property
    def steps(self) -> list[tuple[str, Step]]:
        return [
            ("First sync: from an empty cluster to two applications", self.first_sync),
            ("A commit changes an image", self.new_image),
            ("Somebody scales the Deployment by hand", self.change_by_hand),
            ("A manifest is removed from Git", self.removed_manifest),
            ("A broken commit", self.broken_commit),
            ("The team hears of it", self.alert),
            ("The commit is taken back", self.taken_back),
        ]

    async def first_sync(self) -> str:
        for manifest in self._entry_point():
            await self.cluster.apply(manifest, manager="kubectl")
        await self.meanwhile()
        await self._rolled_out(STOREFRONT)
        await self._rolled_out(GREETER)
        release = ObjectRef(HELM_RELEASE, "HelmRelease", "greeter", "greeter")
        for ref in (release, kustomization("fleet"), kustomization("storefront")):
            await becomes(f"{ref} is ready", lambda ref=ref: is_ready(self.cluster, ref))  # type: ignore[misc]
        return "storefront (Kustomize) and greeter (Helm) are ready"

    async def new_image(self) -> str:
        await self._push(OVERLAY, "newTag: 1.0.0", "newTag: 1.1.0", "storefront 1.1.0")
        found = await self._rolled_out(STOREFRONT, ":1.1.0")
        return f"{image_of(found)} is rolled out"

    async def change_by_hand(self) -> str:
        wanted = (await self._rolled_out(STOREFRONT))["spec"]["replicas"]
        patch = {"spec": {"replicas": wanted + 4}}
        await self.cluster.merge_patch(STOREFRONT, patch, manager="kubectl-scale")
        await self.meanwhile()

        async def put_back() -> bool | None:
            found = await self.cluster.read(STOREFRONT)
            return (found is not None and found["spec"]["replicas"] == wanted) or None

        await becomes(f"{STOREFRONT} has {wanted} replicas again", put_back)
        return f"{wanted + 4} replicas by hand are {wanted} again"

    async def removed_manifest(self) -> str:
        page = ObjectRef("v1", "ConfigMap", "storefront", "maintenance-page")
        await self._push(BASE, "  - maintenance-page.yaml\n", "", "no more maintenance page")

        async def gone() -> bool | None:
            return await self.cluster.read(page) is None or None

        await becomes(f"{page} is gone", gone)
        return f"{page} is gone from the cluster"

    async def broken_commit(self) -> str:
        before = await self._rolled_out(STOREFRONT)
        await self._push(SERVICE, "port: 80\n", "port: eighty\n", "a typing error")

        async def refused() -> str | None:
            ready = await ready_condition(self.cluster, kustomization("storefront"))
            return str(ready["message"]) if ready.get("status") == "False" else None

        message = await becomes("Kustomization storefront is not ready", refused)
        after = await self._rolled_out(STOREFRONT)
        if image_of(after) != image_of(before):
            raise NotInTime("the running version was touched by a broken commit")
        return f"{image_of(after)} goes on running; the condition says:\n{message}"

    async def alert(self) -> str:
        async def heard() -> str | None:
            alerts = self.sink.about("Kustomization", "storefront", "error")
            return str(alerts[-1]["reason"]) if alerts else None

        reason = await becomes("the alert arrives at the webhook", heard)
        return f"the webhook got {reason} for Kustomization storefront"

    async def taken_back(self) -> str:
        await self._push(SERVICE, "port: eighty\n", "port: 80\n", "correct the typing error")
        head = f"main@sha1:{self.fleet.head}"

        async def applied() -> bool | None:
            found = await self.cluster.read(kustomization("storefront")) or {}
            return found.get("status", {}).get("lastAppliedRevision") == head or None

        await becomes(f"Kustomization storefront applied {head}", applied)
        return f"{head[:18]} is applied"

    def _entry_point(self) -> list[Manifest]:
        """What is not in Git: where the fleet is, and secrets."""
        settings = {"fleet_url": self.fleet.url}
        spec = {"interval": "1m", "url": self.fleet.url, "ref": {"branch": "main"}}
        fleet = {
            "interval": "10m",
            "path": "./clusters/staging",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "fleet"},
        }
        return [
            _object("v1", "ConfigMap", "cluster-settings", data=settings),
            _object("v1", "Secret", "alert-webhook", stringData={"address": self.sink.url}),
            _object("v1", "Secret", "receiver-token", stringData={"token": RECEIVER_TOKEN}),
            _object(GIT_REPOSITORY, "GitRepository", "fleet", spec=spec),
            _object(KUSTOMIZATION, "Kustomization", "fleet", spec=fleet),
        ]

    async def _rolled_out(self, ref: ObjectRef, image: str = "") -> Manifest:
        what = f"{ref} is rolled out{image and f' with {image}'}"
        return await becomes(what, lambda: rolled_out(self.cluster, ref, image))

    async def _push(self, path: str, old: str, new: str, message: str) -> None:
        content = await self.fleet.read(path)
        if old not in content:
            raise NotInTime(f"{path} of the fleet has no {old!r} to replace")
        await self.fleet.commit(message, {path: content.replace(old, new)})
        await self._webhook()
        await self.meanwhile()

    async def _webhook(self) -> None:
        """Call the fleet's Receiver, as a Git host does after a push, and as patiently."""
        receiver = ObjectRef(RECEIVER, "Receiver", NAMESPACE, "fleet")

        async def path() -> str | None:
            found = await self.cluster.read(receiver) or {}
            return found.get("status", {}).get("webhookPath") or None

        async def called() -> bool | None:
            try:
                async with session.post(url, json={}) as answer:
                    return answer.status == 200 or None
            except aiohttp.ClientError:
                return None

        url = self.webhooks + await becomes(f"{receiver} has a path", path)
        limit = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=limit) as session:
            await becomes("the webhook is taken", called)


def _object(api_version: str, kind: str, name: str, **body: object) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
