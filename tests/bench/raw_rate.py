"""How many server-side applies a second this machine's API server takes, from one client."""

import asyncio
import time

from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest

OBJECTS = 600
IN_FLIGHT = 32


async def raw_apply_rate(cluster: Cluster, namespace: str) -> float:
    """New ConfigMaps, 32 in flight, as applies a second."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def apply(number: int) -> None:
        async with slots:
            await cluster.apply(_config_map(namespace, number), manager="bench")

    started = time.perf_counter()
    await asyncio.gather(*(apply(number) for number in range(OBJECTS)))
    return OBJECTS / (time.perf_counter() - started)


def _config_map(namespace: str, number: int) -> Manifest:
    metadata = {"name": f"raw-{number}", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}}
