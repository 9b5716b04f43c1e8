"""Runs `go build`, with signs of life."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

from penstock.golang import PINNED_TOOLCHAIN
from penstock.progress import Progress

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
        progress.wait_for(build, lambda: _words(Path(said.name)))
        if build.returncode:
            said.seek(0)
            raise BuildFailed(
                f"go build of {program.name} failed in {recipe.module}:\n"
                + "".join(said.readlines()[-KEPT_LINES:])
            )
    progress.say("built", now=True)


def _words(said: Path) -> str:
    """`-v` names each package; the rest are downloads, compilers' words and their context."""
    lines = said.read_text(errors="replace").splitlines()
    packages = sum(not line.startswith(("go: ", "#", "\t")) for line in lines)
    return f"building, {packages} packages compiled" if packages else "building"
