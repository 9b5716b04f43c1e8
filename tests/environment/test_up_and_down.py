"""`penstock up`, `status` and `down`, as a person types them. The services are left out: what they
do has tests of its own, and these are about what starts, is seen and is stopped.
"""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock import up
from penstock.local.control_plane import ControlPlane
from penstock.local.environment import Environment
from penstock.local.parts import SERVICES
from penstock.local.state_folder import birth_of
from penstock.local.wishes import Wishes
from penstock.lockfile import CHECKOUT
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk
from tests.support.eventually import eventually
from tests.support.listening import addresses_listened_on

pytestmark = pytest.mark.timeout(120)

WITHOUT_SERVICES = [f"--without={name}" for name in SERVICES]
OWN_PARTS = ["etcd", "apiserver", "controller-manager", "scheduler", "kwok", "nats"]


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def exports(self) -> dict[str, str]:
        pairs = (shlex.split(line)[1] for line in self.out.splitlines())
        return dict(pair.split("=", 1) for pair in pairs)


class Command:
    """The command in a folder of the test's own; what it left running is stopped at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def begin(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "penstock",
            *arguments,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *arguments: str) -> Answer:
        process = await self.begin(*arguments)
        out, err = await process.communicate()
        return Answer(process.returncode or 0, out.decode(), err.decode())

    async def up(self, *arguments: str) -> Answer:
        return await self("up", "--detach", *WITHOUT_SERVICES, *arguments)

    async def status(self, *arguments: str) -> dict[str, Any]:
        answer = await self("status", "-o", "json", *arguments)
        assert answer.code == 0, answer.err
        said: dict[str, Any] = json.loads(answer.out)
        return said


@pytest.fixture
async def penstock(tmp_path: Path) -> AsyncIterator[Command]:
    command = Command(tmp_path)
    yield command
    await command("down")


def pids_of(status: dict[str, Any]) -> dict[str, int]:
    return {process["name"]: process["pid"] for process in status["processes"]}


def alive(pids: dict[str, int]) -> list[str]:
    return [name for name, pid in pids.items() if birth_of(pid) is not None]


def is_back(status: dict[str, Any], name: str, before: dict[str, int]) -> bool:
    states = {process["name"]: process["state"] for process in status["processes"]}
    return states[name] == "running" and pids_of(status)[name] != before[name]


async def namespaces(kubeconfig: str) -> set[str]:
    async with Cluster.connect(Path(kubeconfig)) as cluster:
        found = await cluster.list(Gvk("v1", "Namespace"))
    return {one["metadata"]["name"] for one in found}


async def create_namespace(kubeconfig: str, name: str) -> None:
    async with Cluster.connect(Path(kubeconfig)) as cluster:
        metadata = {"name": name}
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


async def test_from_up_to_down(penstock: Command) -> None:
    """One environment's life; each start costs seconds."""
    first = await penstock.up()

    assert first.code == 0, first.err
    assert "flux-system" in await namespaces(first.exports["KUBECONFIG"])

    status = await penstock.status()
    shape = {"kubeconfig", "nats", "artifacts", "receiver", "events", "processes", "restarts"}
    assert set(status) == shape
    assert all(set(process) == {"name", "pid", "state"} for process in status["processes"])
    assert [process["name"] for process in status["processes"]] == OWN_PARTS
    assert {process["state"] for process in status["processes"]} == {"running"}
    assert status["kubeconfig"] == first.exports["KUBECONFIG"]
    assert status["nats"] == first.exports["NATS_URL"]
    pids = pids_of(status)
    assert {host for host, _ in addresses_listened_on(pids.values())} == {"127.0.0.1"}

    again = await penstock.up()
    assert (again.code, again.exports) == (0, first.exports)
    assert "already running" in again.err
    assert pids_of(await penstock.status()) == pids

    table = await penstock("status")
    assert all(name in table.out for name in [*OWN_PARTS, "running", status["nats"]])

    os.kill(pids["nats"], signal.SIGKILL)
    status = await eventually(penstock.status, lambda seen: is_back(seen, "nats", pids))
    assert status["restarts"] == dict.fromkeys(OWN_PARTS, 0) | {"nats": 1}
    pids = pids_of(status)

    down = await penstock("down")
    assert down.code == 0
    assert alive(pids) == []
    assert (await penstock("status")).code == 1
    assert (await penstock("down")).code == 0


async def test_two_environments_live_side_by_side(tmp_path: Path) -> None:
    alone = Wishes(services=())
    async with Environment(tmp_path / "one", alone) as one:
        await create_namespace(one.record.kubeconfig, "only-here")
        async with Environment(tmp_path / "other", alone) as other:
            assert "only-here" not in await namespaces(other.record.kubeconfig)
            assert {one.record.nats, one.record.kubeconfig}.isdisjoint(
                {other.record.nats, other.record.kubeconfig}
            )

        assert [process.name for process in one.processes] == OWN_PARTS
        assert {process.restarts for process in one.processes} == {0}
        assert "only-here" in await namespaces(one.record.kubeconfig)


async def test_after_a_crash_it_goes_on_with_its_data(penstock: Command) -> None:
    first = await penstock.up()
    await create_namespace(first.exports["KUBECONFIG"], "made-before")
    pids = pids_of(await penstock.status())
    supervisor = json.loads((penstock.folder / ".penstock" / "environment.json").read_text())["pid"]

    os.kill(supervisor, signal.SIGKILL)
    await eventually(lambda: not alive(pids))
    assert (await penstock("status")).code == 1
    again = await penstock.up()

    assert "without notice" in again.err
    assert again.exports == first.exports
    assert "made-before" in await namespaces(again.exports["KUBECONFIG"])


async def test_in_the_foreground_ctrl_c_stops_everything(penstock: Command) -> None:
    process = await penstock.begin("up", *WITHOUT_SERVICES)
    assert process.stderr is not None
    while b"Ctrl-C" not in await process.stderr.readline():
        assert process.returncode is None
    pids = pids_of(await penstock.status())

    process.send_signal(signal.SIGINT)
    await process.communicate()

    assert process.returncode == 0
    assert alive(pids) == []


async def test_a_given_cluster_is_used_and_left_alone(
    penstock: Command, control_plane: ControlPlane
) -> None:
    answer = await penstock.up("--kubeconfig", str(control_plane.kubeconfig))

    assert answer.code == 0, answer.err
    assert [process["name"] for process in (await penstock.status())["processes"]] == ["nats"]
    assert answer.exports["KUBECONFIG"] == str(control_plane.kubeconfig)
    assert "flux-system" in await namespaces(answer.exports["KUBECONFIG"])

    await penstock("down")
    assert "flux-system" in await namespaces(answer.exports["KUBECONFIG"])


@pytest.mark.parametrize(
    ("ports", "without", "complaint"),
    [
        (["apiserver"], [], "write NAME=NUMBER"),
        (["web=80"], [], "the name one of apiserver"),
        (["nats=99999"], [], "write NAME=NUMBER"),
        ([], ["flux"], "the services are source, kustomize, helm, notify"),
    ],
)
def test_what_it_cannot_do_it_says(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ports: list[str],
    without: list[str],
    complaint: str,
) -> None:
    code = up.run(tmp_path, None, ports, without, detach=True)

    assert code == 1
    assert complaint in capsys.readouterr().err


async def test_a_port_that_is_taken_is_named(penstock: Command) -> None:
    async def nobody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(nobody, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answer = await penstock.up(f"--port=nats={port}")

    assert answer.code == 1
    assert f"nats: port {port} is in use" in answer.err
