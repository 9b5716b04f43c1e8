"""POST /hook/<digest>: a caller that a Receiver knows asks for its resources to be reconciled.

Everything is checked before anything is written: the path against the token as it is now, then the
proof of the Receiver's type. Answers tell a stranger nothing; the log tells the operator why.
"""

import hmac
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from aiohttp import web

from services.notify.http_limits import LIMITS, Door, Limits
from services.notify.receiver_types import TYPES, NotAuthentic, webhook_path
from services.notify.receivers import token_of
from services.notify.target import ReadSecret
from shared.conditions import READY, is_true
from shared.metrics import RECEIVER_REQUESTS
from shared.outcomes import Failed, Stalled
from shared.resources.notification import Receiver
from shared.status import conditions_of

log = logging.getLogger(__name__)


class Requests(Protocol):
    """`Triggers`, for the server."""

    async def request_all(self, receiver: Receiver) -> list[str]: ...


class Webhooks:
    def __init__(
        self,
        receivers: Callable[[], Iterable[Receiver]],
        read_secret: ReadSecret,
        triggers: Requests,
    ) -> None:
        self._receivers = receivers
        self._read_secret = read_secret
        self._triggers = triggers

    def door(self, limits: Limits = LIMITS) -> Door:
        return Door(self._admit, self._answer, RECEIVER_REQUESTS, limits)

    def _admit(self, request: web.Request) -> None:
        receiver = self._find(request.raw_path)
        if receiver.spec.suspend or not is_true(conditions_of(receiver), READY):
            raise web.HTTPServiceUnavailable(text="the receiver is suspended or not ready\n")

    async def _answer(self, request: web.Request, body: bytes) -> web.Response:
        receiver = self._find(request.raw_path)
        await self._verify(receiver, request, body)
        problems = await self._triggers.request_all(receiver)
        if problems:
            log.error(
                "a webhook could not request every resource",
                extra={"object": receiver.key, "error": "; ".join(problems)},
            )
            raise web.HTTPInternalServerError(text="not every resource could be requested\n")
        log.info("a webhook requested reconciliation", extra={"object": receiver.key})
        return web.Response()

    def _find(self, raw_path: str) -> Receiver:
        """By the exact request path. Every Receiver is compared: time tells nothing of a path."""
        asked = raw_path.encode(errors="replace")
        found: Receiver | None = None
        for receiver in self._receivers():
            path = receiver.status.webhook_path
            if path and hmac.compare_digest(path.encode(), asked):
                found = receiver
        if found is None:
            raise web.HTTPNotFound
        return found

    async def _verify(self, receiver: Receiver, request: web.Request, body: bytes) -> None:
        verify = TYPES.get(receiver.spec.type)
        if verify is None:
            raise web.HTTPServiceUnavailable(text="the receiver is suspended or not ready\n")
        try:
            token = await token_of(receiver, self._read_secret)
        except (Failed, Stalled) as error:
            self._refused(receiver, error)
            raise web.HTTPServiceUnavailable(text="the receiver is not ready\n") from error
        name, namespace = receiver.metadata.name, receiver.metadata.namespace
        if not hmac.compare_digest(webhook_path(token, name, namespace), request.raw_path):
            raise web.HTTPNotFound  # the token changed, and with it the path
        try:
            verify(token, request.headers, body)
        except NotAuthentic as error:
            self._refused(receiver, error)
            raise web.HTTPBadRequest(text="not authentic\n") from error

    def _refused(self, receiver: Receiver, error: Exception) -> None:
        log.warning("a webhook is refused", extra={"object": receiver.key, "error": str(error)})
