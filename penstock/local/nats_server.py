"""A NATS server with JetStream on loopback, with the users and permissions of deploy/base/nats.

Passwords are made once per folder; each user's lie in a file of its own, never on a command line.
"""

import json
import os
import secrets
import shutil
import sysconfig
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from penstock.local.ports import LOOPBACK, PortBook
from penstock.local.private_files import private_folder, write_private
from penstock.local.probes import greets
from penstock.local.supervised import NotReady, Program
from penstock.local.supervised_part import SupervisedPart
from penstock.lockfile import CHECKOUT

ACCOUNTS = CHECKOUT / "deploy" / "base" / "nats" / "accounts.conf"
USERS = ("source", "kustomize", "helm", "notify", "admin")
READY_WITHIN = timedelta(seconds=20)

# Events are a record, so what was acknowledged must be on the disk: sync_interval.
CONFIGURATION = """\
server_name: local
listen: "{address}"
jetstream {{
  store_dir: "."
  sync_interval: always
  max_memory_store: 256MB
  max_file_store: 8GB
}}
include accounts.conf
"""


class NatsServer(SupervisedPart):
    """`url` and `credentials(user)` are what a client needs."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(folder, changed)
        self.url = ""
        self._wished_port = port

    def credentials(self, user: str) -> Path:
        """A file {"user", "password"}."""
        return self.folder / f"{user}.json"

    async def _start(self) -> None:
        port = PortBook(self.folder / "ports.json").port("nats", self._wished_port)
        address = f"{LOOPBACK}:{port}"
        self.url = f"nats://{address}"
        passwords = {f"NATS_{user.upper()}_PASSWORD": self._password(user) for user in USERS}
        write_private(self.folder / "accounts.conf", ACCOUNTS.read_bytes())
        text = CONFIGURATION.format(address=address)
        configuration = write_private(self.folder / "nats.conf", text)
        program = Program(
            name="nats",
            command=[nats_program(), "--config", configuration],
            folder=self.folder,
            log=private_folder(self.folder / "logs") / "nats.log",
            environment={"PATH": os.defpath, **passwords},
            ready=greets(port, b"INFO "),
        )
        await self.supervisor.start(program).ready(READY_WITHIN)

    def _password(self, user: str) -> str:
        path = self.credentials(user)
        if not path.exists():
            # A letter first: the server reads what looks like a number as one.
            secret = {"user": user, "password": f"p{secrets.token_hex(24)}"}
            write_private(path, json.dumps(secret))
        return str(json.loads(path.read_text())["password"])


def nats_program() -> Path:
    """The wheel's, else the one on PATH."""
    of_wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = of_wheel if of_wheel.exists() else shutil.which("nats-server")
    if not found:
        raise NotReady("the program nats-server is missing; run `make setup`")
    return Path(found)
