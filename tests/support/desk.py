"""A courier over Providers and Secrets in memory, with a real HTTP client."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

from services.notify.courier import Courier
from services.notify.posting import Post
from shared.messages import EventPayload
from shared.resources.meta import NamespacedName
from shared.resources.notification import Provider
from tests.support.notifications import a_provider, an_event

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = NamespacedName("team-a", "chat")


class Desk:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.provider: Provider | None = None
        self.secrets: dict[str, dict[str, str]] = {}
        self.weather: Exception | None = None
        self.courier = Courier(lambda _: self.provider, self.read, Post(session, lambda: NOW))

    async def read(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        if self.weather is not None:
            raise self.weather
        values = self.secrets.get(f"{namespace}/{name}")
        encoded = {k: base64.b64encode(v.encode()).decode() for k, v in (values or {}).items()}
        return None if values is None else {"data": encoded}

    async def send(
        self, event: EventPayload | None = None, queued_at: datetime = NOW, **spec: Any
    ) -> None:
        self.provider = a_provider(**spec)
        await self.courier.attempt(KEY, event or an_event(), queued_at)

    def secret(self, **values: str) -> dict[str, Any]:
        """A reference for the spec."""
        self.secrets["team-a/keys"] = values
        return {"secretRef": {"name": "keys"}}
