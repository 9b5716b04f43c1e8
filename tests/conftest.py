"""Fixtures of the real kind: one control plane a session, a namespace a test."""

import copy
import itertools
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from penstock.demo.stage import Stage
from penstock.local.cluster_setup import prepare
from penstock.local.control_plane import ControlPlane
from shared import redaction
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk
from shared.resources.registry import KINDS
from tests.support.holding import held
from tests.support.honest import broken_rules

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def control_plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """etcd, API server, controllers, scheduler and simulated nodes."""
    folder = tmp_path_factory.mktemp("control-plane")
    async with held(ControlPlane(folder)) as plane:
        yield plane


@pytest.fixture(scope="session")
async def cluster(control_plane: ControlPlane) -> AsyncIterator[Cluster]:
    """The administrator's client; our kinds are served, our ServiceAccounts have their rights."""
    async with held(Cluster.connect(control_plane.kubeconfig, agent="tests")) as cluster:
        await prepare(cluster)
        yield cluster


@pytest.fixture
async def namespace(cluster: Cluster) -> AsyncIterator[str]:
    """A namespace of the test's own; at the end every status of ours in it must be honest."""
    name = f"test-{next(_numbers)}"
    metadata = {"name": name}
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield name
    dishonest = [
        (f"{model.kind}/{obj['metadata']['name']}", broken)
        for model in KINDS
        for obj in await cluster.list(Gvk(model.api_version, model.kind), namespace=name)
        if (broken := broken_rules(obj))
    ]
    assert not dishonest


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage of the test's own: environment, Git server, webhook; about ten seconds to stand."""
    async with held(Stage.standing(tmp_path)) as stage:
        yield stage


@pytest.fixture(autouse=True)
def secrets_of_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test registers as a secret is an ordinary word to the next."""
    monkeypatch.setattr(redaction, "_registry", copy.deepcopy(redaction._registry))


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """A line on the terminal also of a test that passes: what a long campaign measured."""

    def written(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return written
