"""Servers that hang, drip, hang up half-way or send garbage are only their own sources' trouble.

The full measure of it is `tests.bench.sources_bystanders`.
"""

import asyncio
from pathlib import Path

import pytest

from penstock.local.git_server import GitServer
from services.source.git.fetch_turns import OF_STRANGERS
from shared.cluster.objects import Manifest
from tests.support.misbehaving import BEHAVIOURS, misbehaving
from tests.support.registry import a_layer, running_registry
from tests.support.source_service import SourceService, condition

MAIN = {"branch": "main"}
LONGEST_MESSAGE = 500


async def test_fetches_that_hang_hold_up_no_other_source(
    service: SourceService, git_server: GitServer, tmp_path: Path
) -> None:
    async with (
        running_registry(tmp_path / "registry") as registry,
        misbehaving() as servers,
    ):
        for number in range(2 * OF_STRANGERS):
            url = servers.git("late-hang", number)
            await service.apply("GitRepository", f"bad-{number}", url=url, ref=MAIN, timeout="60m")
            url = servers.registry("late-drip", number)
            spec = {"insecure": True, "timeout": "60m"}
            await service.apply("OCIRepository", f"bad-{number}", url=url, **spec)
        shop = await git_server.repository("shop", {"a.yaml": "a: 1\n"})
        layer = await asyncio.to_thread(a_layer, registry.folder, {"a.yaml": "a: 1\n"})
        await registry.push("shop", "latest", [layer])

        await service.apply("GitRepository", "good", url=shop.url, ref=MAIN)
        await service.apply("OCIRepository", "good", url=registry.url("shop"), insecure=True)

        await service.ready("GitRepository", "good")
        await service.ready("OCIRepository", "good")


@pytest.mark.parametrize("when", ["", "late-"])
async def test_each_ends_in_time_and_says_why(service: SourceService, when: str) -> None:
    async with misbehaving() as servers:
        for behaviour in BEHAVIOURS:
            spec = {"timeout": "2s"}
            url = servers.git(when + behaviour, 1)
            await service.apply("GitRepository", f"{behaviour}-1", url=url, ref=MAIN, **spec)
            url = servers.registry(when + behaviour, 1)
            await service.apply("OCIRepository", f"{behaviour}-1", url=url, insecure=True, **spec)

        def ended(stored: Manifest) -> bool:
            return condition(stored, "FetchFailed").get("status") == "True"

        for behaviour in BEHAVIOURS:
            for kind in ("GitRepository", "OCIRepository"):
                stored = await service.until(kind, f"{behaviour}-1", ended, within=20)
                message = condition(stored, "FetchFailed")["message"]
                assert "127.0.0.2" in message
                assert len(message) < LONGEST_MESSAGE
                if behaviour in ("hang", "drip"):
                    assert " within 2s" in message


async def test_those_that_wait_for_one_mirror_end_together(service: SourceService) -> None:
    names = [f"bad-{number}" for number in range(6)]
    clock = asyncio.get_running_loop().time
    async with misbehaving() as servers:
        began = clock()
        for name in names:
            url = servers.git("late-hang", 0)
            await service.apply("GitRepository", name, url=url, ref=MAIN, timeout="4s")

        for name in names:
            await service.not_ready("GitRepository", name, "GitOperationFailed")

        assert clock() - began < 4 * len(names) - 4
