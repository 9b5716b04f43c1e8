"""The engine on small repositories and charts, and the stock programs that it must agree with."""

import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock import toolchain
from shared.cel import Expressions
from shared.documents import load_all
from shared.engine import Engine
from shared.engine_messages import (
    BuildRequest,
    Built,
    Capabilities,
    Overlay,
    ReleaseRequest,
    Rendered,
    RenderOptions,
    RenderRequest,
)
from tests.support.holding import held
from tests.support.packing import Files, pack, pack_chart, write_out
from tests.support.processes import bystanders, children


@pytest.fixture(scope="session", autouse=True)
def _only_our_engines_count() -> None:
    bystanders.update(children("engine"))


@dataclass
class Workshop:
    """An engine and the folder that it may read."""

    engine: Engine
    folder: Path

    async def tree(self, files: Files) -> str:
        archive = pack(self.folder, files)
        await self.engine.load_tree(archive.stem, archive)
        return archive.stem

    async def build(
        self, files: Files, path: str = "./", overlay: Overlay | None = None, text: bool = False
    ) -> Built:
        tree = await self.tree(files)
        overlay = overlay or Overlay()
        return await self.engine.build(
            BuildRequest(tree=tree, path=path, overlay=overlay, text=text)
        )

    async def render(
        self,
        files: Files,
        values: dict[str, Any] | None = None,
        release: ReleaseRequest | None = None,
        capabilities: Capabilities | None = None,
        **options: Any,
    ) -> Rendered:
        return await self.engine.render(
            RenderRequest(
                chart=str(pack_chart(self.folder, files)),
                values=values or {},
                release=release or ReleaseRequest(name="web", namespace="apps"),
                capabilities=capabilities or Capabilities(),
                options=RenderOptions(**options),
            )
        )


@dataclass
class Stock:
    """The programs that everybody else runs."""

    kustomize: Path
    helm: Path
    folder: Path

    def build(self, files: Files, path: str = "./") -> str:
        """What kustomize makes of it, in the order of the resources."""
        root = write_out(self.folder, files)
        options = ["--load-restrictor=LoadRestrictionsNone", "--reorder=none"]
        return _run(self.kustomize, "build", *options, str(root / path))

    def template(self, files: Files, *options: str) -> list[Any]:
        """The objects and hooks that helm renders, as it prints them."""
        chart = pack_chart(self.folder, files)
        printed = _run(self.helm, "template", "web", str(chart), "--namespace=apps", *options)
        return [document for document in load_all(printed) if document is not None]


def _run(program: Path, *arguments: str) -> str:
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def engine_binary() -> Path:
    return toolchain.binary("engine")


@pytest.fixture(scope="module")
async def workshop(
    engine_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Workshop]:
    """With little memory and time, so that breaking a limit does not take long."""
    folder = tmp_path_factory.mktemp("engine") / "cache"
    folder.mkdir()
    engine = Engine(
        engine_binary,
        readable=folder,
        memory_limit=256 << 20,
        deadline=timedelta(seconds=20),
        warm=False,
    )
    async with held(engine) as engine:
        yield Workshop(engine, folder)


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    folder = tmp_path / "stock"
    folder.mkdir()
    return Stock(toolchain.binary("kustomize"), toolchain.binary("helm"), folder)


@pytest.fixture(scope="module")
async def expressions(
    engine_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Expressions]:
    folder = tmp_path_factory.mktemp("expressions")
    async with held(Expressions.ready(engine_binary, folder)) as expressions:
        yield expressions
