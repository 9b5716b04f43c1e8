"""Programs built from Go modules: compiled once, then taken from a cache outside the checkout.

`binary("kube")` is the whole interface. A program's place in the cache is named by a digest of all
that it is made of (go.mod, go.sum, sources, flags, Go's version), so nothing stale is ever used,
and after the first build no network and no Go are needed. Any number of processes may ask at once.
"""

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.compiling import compile_program
from penstock.filelock import exclusive
from penstock.golang import go_program, go_version
from penstock.lockfile import CHECKOUT
from penstock.progress import Progress

KUBERNETES = "1.36.3"
UNUSED_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True)
class Recipe:
    """What is built: a package of a Go module in the checkout, its own or of a `tool` line."""

    module: Path
    package: str = "."
    stamps: tuple[str, ...] = ()  # -X values of the linker

    @property
    def ldflags(self) -> str:
        return " ".join(["-s -w", *(f"-X {stamp}" for stamp in self.stamps)])

    @property
    def needed_go(self) -> str:
        found = re.search(r"^go (\S+)$", (self.module / "go.mod").read_text(), re.MULTILINE)
        return found.group(1) if found else "1.26"

    def ingredients(self) -> Iterator[Path]:
        """The module's files; another module's package depends on go.mod and go.sum alone."""
        yield from (self.module / "go.mod", self.module / "go.sum")
        if self.package.startswith("."):
            yield from _sources(self.module)


_BUILD = "k8s.io/component-base/version"
_KUBE = CHECKOUT / "deploy" / "local" / "kube"
_ENGINE = CHECKOUT / "engine"
_SERVERS = CHECKOUT / "tests" / "servers"
RECIPES = {
    # Unstamped, the API server calls itself v0.0.0-master and charts with a kubeVersion refuse it.
    "kube": Recipe(
        _KUBE,
        stamps=(
            f"{_BUILD}.gitVersion=v{KUBERNETES}",
            f"{_BUILD}.gitMajor={KUBERNETES.split('.')[0]}",
            f"{_BUILD}.gitMinor={KUBERNETES.split('.')[1]}",
        ),
    ),
    "kwok": Recipe(_KUBE, "sigs.k8s.io/kwok/cmd/kwok"),
    "engine": Recipe(_ENGINE),
    "helm": Recipe(_ENGINE / "tools", "helm.sh/helm/v4/cmd/helm"),
    "kustomize": Recipe(_ENGINE / "tools", "sigs.k8s.io/kustomize/kustomize/v5"),
    "registry": Recipe(_SERVERS, "github.com/distribution/distribution/v3/cmd/registry"),
    "versitygw": Recipe(_SERVERS, "github.com/versity/versitygw/cmd/versitygw"),
}


def cache_folder() -> Path:
    configured = os.environ.get("PENSTOCK_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "penstock"


def binary(name: str) -> Path:
    """The program, built first if the cache has none of this make."""
    return ensure(name, RECIPES[name], cache_folder())


def ensure(name: str, recipe: Recipe, cache: Path) -> Path:
    go = go_program(recipe.needed_go, cache)
    program = cache / name / _digest(recipe, go_version(go)) / name
    if not program.exists():
        _build_once(name, recipe, go, program)
    os.utime(program.parent)  # in use: not to be swept
    return program


def _build_once(name: str, recipe: Recipe, go: Path, program: Path) -> None:
    progress = Progress(name)
    shelf = program.parent.parent
    busy = "another process is building it"
    with exclusive(shelf / ".lock", while_waiting=lambda: progress.say(busy)):
        if program.exists():
            return
        with tempfile.TemporaryDirectory(prefix=".build-", dir=shelf) as folder:
            made = Path(folder) / "made"
            made.mkdir()
            compile_program(recipe, go, made / name, progress)
            made.rename(program.parent)
        _sweep(shelf)


def _digest(recipe: Recipe, version: str) -> str:
    digest = hashlib.sha256("\0".join([version, recipe.package, recipe.ldflags]).encode())
    for path in recipe.ingredients():
        digest.update(f"\0{path.relative_to(recipe.module)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _sources(module: Path) -> Iterable[Path]:
    """Everything a build can read: Go files and what they may embed, in nested modules not."""
    for folder, folders, files in os.walk(module):
        folders[:] = sorted(
            name
            for name in folders
            if name != "testdata" and not (Path(folder) / name / "go.mod").exists()
        )
        yield from (
            Path(folder) / name
            for name in sorted(files)
            if not name.endswith("_test.go") and name not in {"go.mod", "go.sum"}
        )


def _sweep(shelf: Path) -> None:
    """Drops builds that nobody asked for lately."""
    oldest = time.time() - UNUSED_SECONDS  # noqa: TID251  (compared with the files' own times)
    for folder in shelf.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """`python -m penstock.toolchain [NAME…]` builds what is missing and prints where it is."""
    for name in sys.argv[1:] or RECIPES:
        sys.stdout.write(f"{binary(name)}\n")


if __name__ == "__main__":
    main()
