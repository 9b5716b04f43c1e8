"""`penstock down`: asks the process that runs the environment to stop, and waits until it has."""

import os
import signal
import time
from pathlib import Path

from rich.console import Console

from penstock.local.state_folder import StateFolder, chosen

STOPPED_WITHIN_SECONDS = 90.0
POLL_SECONDS = 0.05


def run(state: Path | None) -> int:
    folder = chosen(state)
    console = Console(stderr=True, highlight=False)
    record = folder.read()
    if record is None:
        console.print(f"nothing runs in {folder.path}")
        return 0
    os.kill(record.pid, signal.SIGTERM)
    if not _is_gone(folder):
        console.print(f"process {record.pid} has not stopped yet; its logs are in {folder.path}")
        return 1
    console.print(f"stopped; the data stay in {folder.path}")
    return 0


def _is_gone(folder: StateFolder) -> bool:
    deadline = time.monotonic() + STOPPED_WITHIN_SECONDS
    while folder.read():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
