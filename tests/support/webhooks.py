"""Call a Receiver as a Git host does."""

import aiohttp

from shared.cluster.client import Cluster
from shared.cluster.objects import ObjectRef
from tests.support.eventually import eventually

RECEIVER = "notification.toolkit.fluxcd.io/v1"


async def receiver_path(cluster: Cluster, namespace: str, name: str) -> str:
    """The path of its webhook, once it has one."""
    ref = ObjectRef(RECEIVER, "Receiver", namespace, name)

    async def path() -> str:
        found = await cluster.read(ref) or {}
        return str(found.get("status", {}).get("webhookPath", ""))

    return await eventually(path)


async def call_webhook(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as answer:
        answer.raise_for_status()
