"""`penstock status`: what runs, and where."""

import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from penstock.local.state_folder import Record, chosen

COLOURS = {"running": "green", "starting": "yellow", "backoff": "red", "stopped": "dim"}


def run(state: Path | None, output: str) -> int:
    folder = chosen(state)
    record = folder.read()
    if output not in {"table", "json"}:
        sys.stderr.write(f"--output {output!r}: choose table or json\n")
        return 2
    if record is None:
        sys.stderr.write(f"nothing runs in {folder.path}; start it with `penstock up`\n")
        return 1
    if output == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(as_json(record))).decode() + "\n")
    else:
        _show(record)
    return 0


def as_json(record: Record) -> dict[str, Any]:
    return {
        "kubeconfig": record.kubeconfig,
        "nats": record.nats,
        "artifacts": record.artifacts,
        "receiver": record.receiver,
        "events": record.events,
        "processes": [
            {"name": process.name, "pid": process.pid, "state": process.state}
            for process in record.processes
        ],
        "restarts": {process.name: process.restarts for process in record.processes},
    }


def _show(record: Record) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("process", "pid", "state", "restarts"):
        table.add_column(column, justify="left" if column in {"process", "state"} else "right")
    for process in record.processes:
        state = f"[{COLOURS[process.state]}]{process.state}"
        table.add_row(process.name, str(process.pid or ""), state, str(process.restarts))
    console.print(table)
    for what in ("kubeconfig", "nats", "artifacts", "receiver", "events"):
        if where := getattr(record, what):
            console.print(f"{what:<10} {where}")
