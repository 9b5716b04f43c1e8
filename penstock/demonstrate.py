"""`penstock demo`: the demo in a folder of its own, which goes with it unless one was given."""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from penstock.demo import demo
from penstock.local.environment import Wishes
from penstock.trouble import TROUBLE


def run(state: Path | None, *, keep: bool) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        Wishes().programs()  # minutes the first time, and Ctrl-C must end them
        if state:
            return _shown_in(state, keep=keep)
        with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
            return _shown_in(Path(folder), keep=keep)
    except TROUBLE as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _shown_in(folder: Path, *, keep: bool) -> int:
    return 0 if asyncio.run(demo(folder, keep=keep)) else 1
