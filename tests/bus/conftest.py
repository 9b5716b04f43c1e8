from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.nats_process import NatsProcess, running_nats


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsProcess]:
    async with running_nats(tmp_path) as server:
        yield server
