"""The service dies before its first write, before its second, …: the next one always gets there.

Between two writes nothing of a run is in the cluster, so these are all the moments there are.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest
from tests.helm.conftest import Helm, condition
from tests.support.charts import a_chart, a_config_map
from tests.support.eventually import eventually
from tests.support.gate import Gate

HOOKS = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {helm.sh/hook: "pre-install,pre-upgrade"}
data:
  text: {{ .Values.text }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-once
  annotations: {helm.sh/hook: "post-install"}
"""
NAME = "{{ .Release.Name }}"
VALUES = {"text": "one"}
OLD = a_chart(
    templates={
        "greeting.yaml": a_config_map(NAME, text="{{ .Values.text }}"),
        "old.yaml": a_config_map(f"{NAME}-old", a="b"),
        "hooks.yaml": HOOKS,
    },
    values=VALUES,
)
NEW = a_chart(
    version="1.1.0",
    templates={
        "greeting.yaml": a_config_map(NAME, text="{{ .Values.text }}"),
        "new.yaml": a_config_map(f"{NAME}-new", a="b"),
        "hooks.yaml": HOOKS,
    },
    values={"text": "two"},
)
MOST_WRITES = 30


class Mortal:
    """A gate through which the service makes only so many writes."""

    def __init__(self, cluster: Cluster, gate: Gate) -> None:
        self.cluster = cluster
        self.is_dead = False
        self._left = MOST_WRITES
        gate.rules.append(self._decide)

    def live_for(self, writes: int) -> None:
        self._left, self.is_dead = writes, False

    def _decide(self, request: web.Request) -> web.Response | None:
        if request.method == "GET":
            return None
        self._left -= 1
        self.is_dead = self._left < 0
        # Not 503: that would be patiently repeated, as if the dead could wait.
        return web.Response(status=403) if self.is_dead else None


@pytest.fixture
def mortal(gated: Cluster, gate: Gate) -> Mortal:
    return Mortal(gated, gate)


async def victims(
    helm: Helm,
    mortal: Mortal,
    prepare: Callable[[str], Awaitable[None]],
    cause: Callable[[str], Awaitable[None]],
    is_done: Callable[[str], Awaitable[bool]],
) -> AsyncIterator[str]:
    """Releases whose service died during a change: before one write, before the next, …"""
    for writes in range(MOST_WRITES):
        release = f"shop-{writes}"
        await prepare(release)
        mortal.live_for(writes)
        async with helm.service(mortal.cluster):
            await cause(release)
            await eventually(lambda r=release: _is_over(mortal, is_done(r)))  # type: ignore[misc]
        yield release
        if not mortal.is_dead:
            return
    pytest.fail("it never came to an end")


async def _is_over(mortal: Mortal, done: Awaitable[bool]) -> bool:
    return await done or mortal.is_dead


async def publish(helm: Helm, mortal: Mortal, chart: bytes, release: str, version: str) -> None:
    """Unless the service dies before there is a HelmChart to publish it for."""

    async def has_chart() -> bool:
        return await helm.chart_object(release) is not None

    await eventually(lambda: _is_over(mortal, has_chart()))
    if await has_chart():
        await helm.publish(chart, release, version, chart_name="shop")


async def install(helm: Helm, release: str) -> None:
    async with helm.service():
        await helm.release(release)
        await helm.publish(OLD, release, chart_name="shop")
        await helm.ready(release)


async def is_whole(helm: Helm, release: str, text: str, chart_version: str) -> None:
    """It is ready, there is one deployed version, the newest, and all of the objects."""
    await eventually(lambda: helm.stored(release), lambda found: _is_at(found, chart_version))
    stored, records = await helm.stored(release), await helm.records(release)
    newest = stored["status"]["history"][0]["version"]
    assert records[newest] == "deployed"
    assert max(records) == newest
    assert list(records.values()).count("deployed") == 1
    for name in (release, f"{release}-hook"):
        found = await helm.object(name)
        assert found is not None
        assert found["data"]["text"] == text
    assert await helm.object(f"{release}-once") is not None


def _is_at(release: Manifest, chart_version: str) -> bool:
    status = release["status"]
    history = status.get("history") or [{}]
    return (
        condition(release, "Ready")["status"] == "True"
        and bool(status["observedGeneration"] == release["metadata"]["generation"])
        and bool(history[0].get("chartVersion") == chart_version)
    )


@pytest.mark.timeout(180)
async def test_while_it_installs(helm: Helm, mortal: Mortal) -> None:
    async def prepare(release: str) -> None:
        await helm.release(release)

    async def cause(release: str) -> None:
        await publish(helm, mortal, OLD, release, "1.0.0")

    async def is_done(release: str) -> bool:
        return _is_at(await helm.stored(release), "1.0.0")

    lives = 0
    async for release in victims(helm, mortal, prepare, cause, is_done):
        lives += 1
        async with helm.service():
            await helm.publish(OLD, release, chart_name="shop")
            await is_whole(helm, release, "one", "1.0.0")
    assert lives > 7


@pytest.mark.timeout(180)
async def test_while_it_upgrades(helm: Helm, mortal: Mortal) -> None:
    async def prepare(release: str) -> None:
        await install(helm, release)

    async def cause(release: str) -> None:
        await helm.publish(NEW, release, "1.1.0", chart_name="shop")

    async def is_done(release: str) -> bool:
        return _is_at(await helm.stored(release), "1.1.0")

    lives = 0
    async for release in victims(helm, mortal, prepare, cause, is_done):
        lives += 1
        async with helm.service():
            await is_whole(helm, release, "two", "1.1.0")
        assert await helm.object(f"{release}-new") is not None
        assert await helm.object(f"{release}-old") is None
    assert lives > 7


@pytest.mark.timeout(180)
async def test_while_it_uninstalls(helm: Helm, mortal: Mortal) -> None:
    async def prepare(release: str) -> None:
        await install(helm, release)

    async def cause(release: str) -> None:
        await helm.delete(release)

    async def is_done(release: str) -> bool:
        return await helm.found(release) is None

    lives = 0
    async for release in victims(helm, mortal, prepare, cause, is_done):
        lives += 1
        async with helm.service():
            await eventually(lambda r=release: is_done(r))  # type: ignore[misc]
        assert await helm.records(release) == {}
        assert await helm.object(release) is None
        assert await helm.object(f"{release}-old") is None
        assert await helm.chart_object(release) is None
    assert lives > 5
