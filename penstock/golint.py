"""gofmt and go vet for our own Go: `python -m penstock.golint`, part of `make lint`."""

import os
import subprocess
import sys
from pathlib import Path

from penstock.golang import PINNED_TOOLCHAIN, go_program
from penstock.lockfile import CHECKOUT
from penstock.toolchain import RECIPES, cache_folder


def main() -> int:
    own = {recipe.module: recipe for recipe in RECIPES.values() if recipe.package == "."}
    clean = True
    for module, recipe in own.items():
        go = go_program(recipe.needed_go, cache_folder())
        clean &= _vetted(go, module)
        clean &= _formatted(go, module)
    return 0 if clean else 1


def _vetted(go: Path, module: Path) -> bool:
    # -trimpath as in the build, so that vet finds everything compiled already.
    vet = [str(go), "vet", "-trimpath", "-mod=readonly", "./..."]
    environment = os.environ | PINNED_TOOLCHAIN | {"GOFLAGS": ""}
    return not subprocess.run(vet, cwd=module, env=environment, check=False).returncode  # noqa: S603


def _formatted(go: Path, module: Path) -> bool:
    gofmt = Path(_said([str(go), "env", "GOROOT"], module)) / "bin" / "gofmt"
    names = _said([str(gofmt), "-l", "."], module).split()
    for name in names:
        sys.stderr.write(f"not formatted by gofmt: {(module / name).relative_to(CHECKOUT)}\n")
    return not names


def _said(command: list[str], folder: Path) -> str:
    done = subprocess.run(  # noqa: S603  (a command of ours)
        command, cwd=folder, env=os.environ | PINNED_TOOLCHAIN, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


if __name__ == "__main__":
    sys.exit(main())
