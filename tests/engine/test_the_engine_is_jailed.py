"""The process that renders can reach nothing, whoever started it."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.engine import Engine
from shared.engine_messages import EngineUnavailable
from tests.engine.conftest import Workshop
from tests.support.eventually import eventually
from tests.support.packing import pack_chart
from tests.support.processes import (
    environment,
    only_child,
    processor_ticks,
    threads,
    working_folder,
)

CHART = "apiVersion: v2\nname: web\nversion: 1.2.3\n"


async def test_all_that_it_must_not_do_is_refused(workshop: Workshop) -> None:
    attempts = await workshop.engine.self_test()

    assert set(attempts) == {
        "internet socket",
        "unix socket",
        "program",
        "fork",
        "write a file",
        "open a file",
        "trace",
        "signal",
        "mount",
    }
    assert set(attempts.values()) == {"refused"}


async def test_it_says_what_holds_it(workshop: Workshop) -> None:
    versions = await workshop.engine.version()

    assert versions.jail.seccomp
    assert versions.helm.startswith("v4.")
    assert versions.kustomize.startswith("v0.")


async def test_every_thread_is_held(workshop: Workshop) -> None:
    await workshop.build({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"})

    for thread in threads(only_child("engine")):
        assert (thread["NoNewPrivs"], thread["Seccomp"]) == ("1", "2")


async def test_it_has_nothing_of_our_environment(workshop: Workshop) -> None:
    engine = only_child("engine")

    assert environment(engine) == b""
    assert working_folder(engine) == Path("/")
    assert os.getpgid(engine) == engine


@pytest.fixture
def shared_binary(engine_binary: Path, tmp_path: Path) -> Path:
    """Where other users can run it."""
    program = tmp_path / "engine"
    shutil.copy(engine_binary, program)
    tmp_path.chmod(0o755)
    return program


async def test_it_works_for_an_unprivileged_user(shared_binary: Path) -> None:
    """As in a pod of the restricted profile: no capability, no new privileges."""
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]
    requests = b'{"id":1,"op":"version"}\n{"id":2,"op":"selftest"}\n'

    process = await asyncio.create_subprocess_exec(
        *nobody,
        "--no-new-privs",
        "--",
        str(shared_binary),
        "--read=/usr",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(requests)
    answers = await process.stdout.readline() + await process.stdout.readline()
    process.stdin.close()

    assert await process.wait() == 0
    assert b'"seccomp":true' in answers
    assert answers.count(b'"refused"') == 9


async def test_it_ends_with_whoever_started_it_however_busy(
    engine_binary: Path, tmp_path: Path
) -> None:
    endless = "{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}"
    chart = pack_chart(tmp_path, {"Chart.yaml": CHART, "templates/a.yaml": endless})
    request = {"id": 1, "op": "helm.render", "chart": str(chart), "release": {"name": "web"}}
    process = await asyncio.create_subprocess_exec(
        engine_binary, f"--read={tmp_path}", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(request).encode() + b"\n")
    await eventually(lambda: processor_ticks(process.pid) >= 20)

    process.stdin.close()

    assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_without_a_program_there_is_no_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="build it first"):
        async with Engine(tmp_path / "engine", readable=tmp_path):
            pass


async def test_a_program_that_does_not_start_is_no_engine(tmp_path: Path) -> None:
    program = tmp_path / "engine"
    program.write_text("#!/bin/sh\necho 'engine: no jail here' >&2\nexit 1\n")
    program.chmod(0o755)

    with pytest.raises(EngineUnavailable, match="no engine is running: no jail here"):
        async with Engine(program, readable=tmp_path):
            pass


async def test_a_folder_that_does_not_exist_is_no_engine(
    engine_binary: Path, tmp_path: Path
) -> None:
    with pytest.raises(EngineUnavailable, match="missing: no such file or directory"):
        async with Engine(engine_binary, readable=tmp_path / "missing"):
            pass
