"""A client that reaches the API server through a gate that can misbehave."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from penstock.local.control_plane import ControlPlane
from shared.cluster.client import Cluster
from tests.support.gate import Gate
from tests.support.holding import held


@pytest.fixture
async def gate(control_plane: ControlPlane) -> AsyncIterator[Gate]:
    async with held(Gate.before(control_plane.url)) as gate:
        yield gate


@pytest.fixture
async def gated(
    gate: Gate, control_plane: ControlPlane, cluster: Cluster, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """`cluster` is asked for so that our kinds are served."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "current-context": "gate",
                "clusters": [{"name": "gate", "cluster": {"server": gate.url}}],
                "users": [{"name": "gate", "user": {"token": control_plane.token}}],
                "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "gate"}}],
            }
        )
    )
    async with held(Cluster.connect(kubeconfig, agent="tests")) as client:
        yield client
