"""One tenant's input may crash, hang or fill an engine; the others' calls all succeed."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.engine import Engine
from shared.engine_messages import (
    BuildRequest,
    Built,
    EngineBroken,
    EngineLimit,
    EngineUnavailable,
    Overlay,
)
from tests.engine.conftest import Workshop
from tests.support.eventually import eventually
from tests.support.holding import held
from tests.support.processes import children, only_child, processor_ticks

CHART = "apiVersion: v2\nname: web\nversion: 1.2.3\n"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
RECURSION = "{{ tpl .Values.again . }}"
FULL = "{{ range until 1000000000 }}{{ end }}"
ENDLESS = "{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}"


@pytest.fixture
async def workshop(engine_binary: Path, tmp_path: Path) -> AsyncIterator[Workshop]:
    async with _workshop(engine_binary, tmp_path, timedelta(seconds=30)) as workshop:
        yield workshop


@pytest.fixture
async def hasty_workshop(engine_binary: Path, tmp_path: Path) -> AsyncIterator[Workshop]:
    """With three seconds for a call."""
    async with _workshop(engine_binary, tmp_path, timedelta(seconds=3)) as workshop:
        yield workshop


@asynccontextmanager
async def _workshop(binary: Path, folder: Path, deadline: timedelta) -> AsyncIterator[Workshop]:
    cache = folder / "cache"
    cache.mkdir()
    engine = Engine(binary, readable=cache, memory_limit=200 << 20, deadline=deadline, warm=False)
    async with held(engine) as engine:
        yield Workshop(engine, cache)


async def _attack(workshop: Workshop, template: str) -> BaseException | None:
    try:
        await workshop.render(
            {"Chart.yaml": CHART, "templates/a.yaml": template}, {"again": RECURSION}
        )
    except EngineLimit as limit:
        return limit
    return None


async def _many_builds(workshop: Workshop, tree: str, count: int) -> list[Built]:
    requests = (BuildRequest(tree=tree, overlay=Overlay(namespace=f"n{n}")) for n in range(count))
    return await asyncio.gather(*map(workshop.engine.build, requests))


async def _count_builds(workshop: Workshop, tree: str, count: int) -> int:
    return len(await _many_builds(workshop, tree, count))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (RECURSION, r"helm\.render: (out of memory|stack overflow)"),
        (FULL, r"helm\.render: out of memory: \d+ MiB used, 200 MiB allowed"),
    ],
    ids=["recursion", "memory"],
)
async def test_a_call_that_takes_too_much_fails_and_all_others_succeed(
    workshop: Workshop, template: str, reason: str
) -> None:
    await _attack_beside_builds(workshop, template, reason)


async def test_a_call_that_does_not_end_fails_and_all_others_succeed(
    hasty_workshop: Workshop,
) -> None:
    await _attack_beside_builds(hasty_workshop, ENDLESS, r"helm\.render: not done after 3 s")


async def _attack_beside_builds(workshop: Workshop, template: str, reason: str) -> None:
    tree = await workshop.tree({"a.yaml": CONFIG_MAP})

    async with asyncio.timeout(40):
        attack, *rounds = await asyncio.gather(
            _attack(workshop, template), *(_count_builds(workshop, tree, 30) for _ in range(3))
        )

    assert re.search(reason, str(attack))
    assert rounds == [30, 30, 30]


async def test_two_attackers_are_both_found(workshop: Workshop) -> None:
    tree = await workshop.tree({"a.yaml": CONFIG_MAP})

    async with asyncio.timeout(40):
        first, second, builds = await asyncio.gather(
            _attack(workshop, FULL), _attack(workshop, FULL), _many_builds(workshop, tree, 5)
        )

    assert isinstance(first, EngineLimit)
    assert isinstance(second, EngineLimit)
    assert len(builds) == 5


async def test_a_killed_engine_is_nobodys_fault(hasty_workshop: Workshop) -> None:
    attack = asyncio.create_task(_attack(hasty_workshop, ENDLESS))
    await eventually(_engine_is_busy)

    os.kill(only_child("engine"), signal.SIGKILL)

    assert "not done after 3 s" in str(await attack)


SHY_ENGINE = """\
import json, os, sys
texts = []
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] != "version":
        texts.append(request["text"])
    if texts == ["dies"]:
        os._exit(3)
    if request["op"] == "version" or texts == ["answers when alone"]:
        answer = {"documents": texts}
        print(json.dumps({"id": request["id"], "ok": answer}), flush=True)
"""


@pytest.fixture
async def shy_engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """A stand-in that leaves a call open as long as another one runs beside it."""
    program = tmp_path / "engine"
    program.write_text(f"#!{sys.executable}\n{SHY_ENGINE}")
    program.chmod(0o755)
    async with held(Engine(program, readable=tmp_path, deadline=timedelta(seconds=1))) as engine:
        yield engine


@pytest.mark.parametrize(
    ("guilty", "reason"),
    [("hangs", "not done after 1 s"), ("dies", "the engine ended with 3")],
)
async def test_the_one_call_beside_the_guilty_one_is_asked_again(
    shy_engine: Engine, guilty: str, reason: str
) -> None:
    attack = asyncio.create_task(shy_engine.parse_yaml(guilty))
    beside = asyncio.create_task(shy_engine.parse_yaml("answers when alone"))

    assert await beside == ["answers when alone"]
    with pytest.raises(EngineLimit, match=reason):
        await attack


@pytest.mark.parametrize(("beside", "kills"), [([], 1), (["hangs"], 2)])
async def test_a_call_that_breaks_processes_tells_of_how_many(
    tmp_path: Path, beside: list[str], kills: int
) -> None:
    """Beside others nobody knows whose fault it was, so it is asked once more, alone."""
    program = tmp_path / "engine"
    deadly = SHY_ENGINE.replace(
        'texts == ["dies"]', f'"dies" in texts[{len(beside)}:] or texts == ["dies"]'
    )
    program.write_text(f"#!{sys.executable}\n{deadly}")
    program.chmod(0o755)
    async with held(Engine(program, readable=tmp_path, deadline=timedelta(seconds=1))) as engine:
        others = [asyncio.create_task(engine.parse_yaml(each)) for each in beside]
        await asyncio.sleep(0)

        with pytest.raises(EngineBroken) as broken:
            await engine.parse_yaml("dies")
        await asyncio.gather(*others, return_exceptions=True)

    assert broken.value.kills == kills


async def test_an_answer_that_is_no_json_ends_the_process(tmp_path: Path) -> None:
    program = tmp_path / "engine"
    babble = SHY_ENGINE.replace("os._exit(3)", "print('{', flush=True)")
    program.write_text(f"#!{sys.executable}\n{babble}")
    program.chmod(0o755)

    async with held(Engine(program, readable=tmp_path)) as engine:
        with pytest.raises(EngineLimit, match="no line of JSON"):
            await engine.parse_yaml("dies")


async def test_trees_are_known_to_a_new_process(workshop: Workshop) -> None:
    tree = await workshop.tree({"a.yaml": CONFIG_MAP})
    before = await workshop.engine.build(BuildRequest(tree=tree))
    old = only_child("engine")

    os.kill(old, signal.SIGKILL)
    await eventually(lambda: children("engine") and only_child("engine") != old)

    assert await workshop.engine.build(BuildRequest(tree=tree)) == before


async def test_a_tree_is_needed_on_disk_only_until_it_is_loaded(workshop: Workshop) -> None:
    tree = await workshop.tree({"a.yaml": CONFIG_MAP})
    (workshop.folder / f"{tree}.tgz").unlink()

    assert len((await workshop.engine.build(BuildRequest(tree=tree))).objects) == 1
    with pytest.raises(EngineUnavailable, match="load it first"):
        await workshop.engine.build(BuildRequest(tree="unknown"))


async def test_an_archive_that_is_gone_is_not_the_inputs_fault(workshop: Workshop) -> None:
    with pytest.raises(EngineUnavailable, match="no such file"):
        await workshop.engine.load_tree("gone", workshop.folder / "gone.tgz")


async def test_a_call_that_nobody_awaits_any_more_still_has_its_deadline(
    hasty_workshop: Workshop,
) -> None:
    old = only_child("engine")
    attack = asyncio.create_task(_attack(hasty_workshop, ENDLESS))
    await eventually(_engine_is_busy)

    attack.cancel()

    await eventually(lambda: old not in children("engine"))
    tree = await hasty_workshop.tree({"a.yaml": CONFIG_MAP})
    assert len(await _many_builds(hasty_workshop, tree, 20)) == 20


async def test_a_closed_engine_says_so(engine_binary: Path, tmp_path: Path) -> None:
    async with Engine(engine_binary, readable=tmp_path) as engine:
        await engine.version()

    with pytest.raises(EngineUnavailable, match="it was stopped"):
        await engine.version()
    assert children("engine") == []


async def test_what_ends_the_body_passes_through(engine_binary: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with Engine(engine_binary, readable=tmp_path):
            raise KeyError


async def test_calls_share_the_processes(engine_binary: Path, tmp_path: Path) -> None:
    async with held(Engine(engine_binary, readable=tmp_path, workers=2)) as engine:
        workshop = Workshop(engine, tmp_path)
        await eventually(lambda: len(children("engine")) == 2)
        tree = await workshop.tree({"a.yaml": CONFIG_MAP})

        builds = await _many_builds(workshop, tree, 50)

    namespaces = [_namespace(built) for built in builds]
    assert namespaces == [f"n{n}" for n in range(50)]


def _namespace(built: Built) -> Any:
    assert built.objects[0].object is not None
    return built.objects[0].object["metadata"]["namespace"]


def _engine_is_busy() -> bool:
    return processor_ticks(only_child("engine")) >= 20
