"""A Kustomization that kills the real engine costs the others little, and soon nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from penstock.toolchain import binary
from services.kustomize.build import BuildFailed, Planner
from shared.cluster.client import Cluster
from shared.engine import Engine
from shared.quarantine import Quarantine
from shared.resources.meta import Artifact
from tests.kustomize.conftest import Folder
from tests.kustomize.test_build import a_kustomization
from tests.support.holding import held
from tests.support.processes import children

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a-%d, namespace: shop}\n"
# More than kustomize compares with one another within the deadline here.
TOO_MUCH = {
    "poison/all.yaml": "---\n".join(CONFIG_MAP % n for n in range(9_000)),
    "apps/a.yaml": CONFIG_MAP % 1,
}
POISON = a_kustomization("poison", path="./poison", namePrefix="x-")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = Engine(binary("engine"), readable=tmp_path, deadline=timedelta(seconds=4), warm=True)
    async with held(engine) as engine:
        yield engine


def _artifact(folder: Folder) -> Artifact:
    digest, size = folder.publish(TOO_MUCH)
    return Artifact(digest=digest, path="", url="", revision="1", last_update_time="", size=size)


def _planner(engine: Engine, folder: Folder) -> Planner:
    # Only substituteFrom reads from the cluster, and nothing here asks for that.
    quarantine = Quarantine(folder.path / "quarantine")
    return Planner(engine, folder, Cluster.__new__(Cluster), quarantine)


async def _why_not(planner: Planner, artifact: Artifact) -> str:
    with pytest.raises(BuildFailed) as failure:
        await planner.plan(POISON, artifact)
    assert failure.value.reason == "BuildFailed"
    return str(failure.value)


async def test_two_kills_are_enough_and_a_restart_forgets_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    folder = Folder(tmp_path)
    artifact, planner = _artifact(folder), _planner(engine, folder)

    told = [await _why_not(planner, artifact) for _ in range(2)]
    processes = children("engine")
    told += [await _why_not(_planner(engine, folder), artifact) for _ in range(5)]

    assert ["not done after 4 s" in each for each in told] == [True] * 7
    assert ["set aside" in each for each in told] == [False] * 2 + [True] * 5
    assert children("engine") == processes


async def test_the_others_are_built_meanwhile(engine: Engine, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    artifact, planner = _artifact(folder), _planner(engine, folder)
    poison = asyncio.create_task(_why_not(planner, artifact))

    plans = [
        await planner.plan(a_kustomization(path="./apps", namePrefix=f"n{n}-"), artifact)
        for n in range(10)
    ]
    await poison

    assert [len(plan.wanted) for plan in plans] == [1] * 10
