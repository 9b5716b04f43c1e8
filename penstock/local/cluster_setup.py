"""What a cluster needs before the services can start in front of it: the kinds, the namespace, the
ServiceAccounts and their rights, from the same files that install Penstock into a cluster.
"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import yaml

from penstock.lockfile import CHECKOUT
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ref_of

DEPLOY = CHECKOUT / "deploy"
MANAGER = "penstock"
ESTABLISHED_WITHIN = timedelta(seconds=30)
POLL_SECONDS = 0.05


async def prepare(cluster: Cluster) -> None:
    """Repeatable: what is there already is brought to the files' form."""
    base = [DEPLOY / "base" / "namespace.yaml", *sorted((DEPLOY / "base" / "rbac").glob("*.yaml"))]
    await _apply(cluster, base)
    definitions = await _apply(cluster, sorted((DEPLOY / "crds").glob("*.yaml")))
    async with asyncio.timeout(ESTABLISHED_WITHIN.total_seconds()):
        for definition in definitions:
            await _established(cluster, definition)


async def _apply(cluster: Cluster, paths: Iterable[Path]) -> list[Manifest]:
    return [
        await cluster.apply(manifest, manager=MANAGER)
        for path in paths
        for manifest in _documents(path)
    ]


async def _established(cluster: Cluster, definition: Manifest) -> None:
    """The API server serves a kind some moments after it took the definition."""
    seen: Manifest | None = definition
    while not _is_established(seen):
        await asyncio.sleep(POLL_SECONDS)
        seen = await cluster.read(ref_of(definition))


def _documents(path: Path) -> Iterator[Manifest]:
    with path.open() as file:
        yield from yaml.load_all(file, Loader=yaml.CSafeLoader)


def _is_established(definition: Manifest | None) -> bool:
    conditions = (definition or {}).get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
