"""The local NATS server: private, with a user a service, and the same after a restart."""

import asyncio
import json
import stat
from pathlib import Path

from penstock.local.nats_server import USERS, NatsServer
from penstock.local.parts import SERVICES
from tests.support.listening import addresses_listened_on


async def first_word(port: int, login: dict[str, str]) -> bytes:
    """What the server says to a client that logs in like this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()  # INFO
    writer.write(f"CONNECT {json.dumps(login | {'verbose': False})}\r\nPING\r\n".encode())
    answer = await reader.readline()
    writer.close()
    return answer


async def test_every_service_has_a_password_of_its_own(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as nats:
        files = [nats.credentials(user) for user in USERS]
        secrets = [json.loads(file.read_text()) for file in files]
        command = Path(f"/proc/{nats.processes[0].pid}/cmdline").read_text()  # noqa: ASYNC240

    assert set(USERS) == {*SERVICES, "admin"}
    assert [secret["user"] for secret in secrets] == list(USERS)
    assert len({secret["password"] for secret in secrets}) == len(USERS)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert not any(secret["password"] in command for secret in secrets)


async def test_only_this_machine_reaches_it_and_only_with_a_password(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as nats:
        port = int(nats.url.rpartition(":")[2])
        assert addresses_listened_on([nats.processes[0].pid or 0]) == {("127.0.0.1", port)}

        password = json.loads(nats.credentials("source").read_text())["password"]
        assert await first_word(port, {"user": "source", "pass": password}) == b"PONG\r\n"
        assert b"Authorization Violation" in await first_word(port, {"user": "source", "pass": "x"})
        assert b"Authorization Violation" in await first_word(port, {})


async def test_a_restart_changes_neither_address_nor_passwords(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as nats:
        before = nats.url, nats.credentials("helm").read_text()

    async with NatsServer(tmp_path) as nats:
        assert (nats.url, nats.credentials("helm").read_text()) == before
