"""Stock Helm, in a home of its own."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from penstock.toolchain import binary


@dataclass
class HelmProgram:
    home: Path

    async def run(self, *arguments: str | Path) -> str:
        process = await asyncio.create_subprocess_exec(
            binary("helm"),
            *map(str, arguments),
            env={"HOME": str(self.home), "PATH": os.defpath},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        return said.decode()

    async def package(self, chart: Path) -> Path:
        """Built from its lock, or from its demands, as a user would."""
        await self.run("dependency", "build", chart, "--plain-http")
        into = self.home / "packaged"
        await self.run("package", chart, "--destination", into)
        (packed,) = into.glob("*.tgz")
        return packed
