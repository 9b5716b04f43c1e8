"""Runs `go build` and lets a waiting person see that it lives."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

from penstock.golang import PINNED_TOOLCHAIN

SAY_EVERY_SECONDS = 10.0
KEPT_LINES = 40


class BuildFailed(Exception):
    """A Go program did not compile."""


class Buildable(Protocol):
    @property
    def module(self) -> Path: ...

    @property
    def package(self) -> str: ...

    @property
    def ldflags(self) -> str: ...


class Progress:
    """Lines on standard error: one at the start of a long step, then one each ten seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = time.monotonic()
        self._said = float("-inf")

    def waiting(self) -> None:
        self._say("another process is building it")

    def building(self, packages: int) -> None:
        self._say(f"building, {packages} packages compiled" if packages else "building")

    def built(self) -> None:
        self._said = float("-inf")
        self._say("built")

    def _say(self, what: str) -> None:
        if time.monotonic() - self._said < SAY_EVERY_SECONDS:
            return
        self._said = time.monotonic()
        elapsed = int(self._said - self._began)
        sys.stderr.write(f"{self._name}: {what} ({elapsed} s)\n")
        sys.stderr.flush()


def compile_program(recipe: Buildable, go: Path, program: Path, progress: Progress) -> None:
    flags = ["-v", "-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags", recipe.ldflags]
    with tempfile.NamedTemporaryFile("w+") as said:
        build = subprocess.Popen(  # noqa: S603  (a command of our own)
            [go, "build", *flags, "-o", program, recipe.package],
            cwd=recipe.module,
            env=os.environ | PINNED_TOOLCHAIN | {"GOFLAGS": ""},
            stdout=said,
            stderr=said,
        )
        _wait(build, Path(said.name), progress)
        if build.returncode:
            raise BuildFailed(
                f"go build of {program.name} failed in {recipe.module}:\n"
                + "".join(said.readlines()[-KEPT_LINES:])
            )
    progress.built()


def _wait(build: "subprocess.Popen[bytes]", said: Path, progress: Progress) -> None:
    try:
        while build.poll() is None:
            progress.building(_packages(said))
            with contextlib.suppress(subprocess.TimeoutExpired):
                build.wait(timeout=1)
    except BaseException:
        build.terminate()
        raise


def _packages(said: Path) -> int:
    """How many `-v` has named; the rest are downloads, compilers' words and their context."""
    lines = said.read_text(errors="replace").splitlines()
    return sum(not line.startswith(("go: ", "#", "\t")) for line in lines)
