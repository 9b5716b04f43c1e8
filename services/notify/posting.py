"""HTTP requests to providers: bounded in time and size, never redirected, TLS always verified.

How an attempt ended is said by type, because that is what decides about the next one. Messages name
the host alone: paths, queries and headers hold credentials.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from services.notify.target import Target
from shared.clock import Now, now
from shared.redaction import redact

ANSWER_LIMIT = 64 * 1024
QUOTED = 300  # characters of an answer that go into a message
LONGEST_PATIENCE = timedelta(minutes=15)  # that a Retry-After can ask of us


class NotDelivered(Exception):
    """One attempt failed."""


class Unavailable(NotDelivered):
    """The provider is away, overloaded, or asks for patience: the same may succeed later."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(NotDelivered):
    """The provider does not let us in: somebody must mend address or credentials."""


class Rejected(NotDelivered):
    """The provider does not take this message, and never will."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


# 408 and 425 speak of the moment; 429 of our pace.
_TEMPORARY: Final = frozenset({408, 425, 429})
_ABOUT_THE_MESSAGE: Final = frozenset({400, 411, 413, 414, 415, 422, 431})


class Post:
    """The client behind all providers."""

    def __init__(self, session: aiohttp.ClientSession, now: Now = now) -> None:
        self._session = session
        self._now = now

    async def __call__(
        self, target: Target, body: bytes, headers: Mapping[str, str], method: str = "POST"
    ) -> Answer:
        """The answer to a request that was taken (2xx); raises NotDelivered."""
        try:
            return await self._exchange(target, body, headers, method)
        except aiohttp.ClientConnectorCertificateError as error:  # a ValueError by birth
            why = error.certificate_error
            raise Unavailable(f"{target.host}: its certificate is not trusted: {why}") from error
        except (aiohttp.InvalidURL, ValueError) as error:
            # The text of these repeats the URL or the header.
            raise Refused(f"{target.host}: the address or a header is not usable") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{target.host}: {_problem(error, target)}") from error

    async def _exchange(
        self, target: Target, body: bytes, headers: Mapping[str, str], method: str
    ) -> Answer:
        proxy = target.proxy
        login = proxy.login if proxy else None
        proof = {"Proxy-Authorization": login.authorization} if login else {}
        # Through a tunnel (https) the proof is for the proxy alone, and belongs to its CONNECT.
        tunnelled = urlsplit(target.address).scheme == "https"
        async with self._session.request(
            method,
            target.address,
            data=body,
            headers={
                "Content-Type": "application/json",
                **headers,
                **({} if tunnelled else proof),
            },
            timeout=aiohttp.ClientTimeout(total=target.timeout.total_seconds()),
            ssl=target.tls.context() if target.tls else True,
            proxy=proxy.address if proxy else None,
            proxy_headers=proof if tunnelled else None,
            allow_redirects=False,
        ) as response:
            answer = Answer(response.status, await _start_of(response))
            if not 200 <= response.status < 300:
                self._raise_for(target, answer, response.headers.get("Retry-After", ""))
            return answer

    def _raise_for(self, target: Target, answer: Answer, patience: str) -> None:
        said = quoted(answer.body)
        message = f"{target.host} answered {answer.status}{': ' + said if said else ''}"
        if answer.status >= 500 or answer.status in _TEMPORARY:
            raise Unavailable(message, self._retry_after(patience))
        if 300 <= answer.status < 400:
            raise Refused(f"{message}; redirects are not followed: set the final address")
        if answer.status in _ABOUT_THE_MESSAGE:
            raise Rejected(message)
        raise Refused(message)

    def _retry_after(self, text: str) -> timedelta | None:
        """Seconds or a date; what is neither asks for nothing."""
        if text.isdecimal():
            asked = timedelta(seconds=min(int(text[:9]), LONGEST_PATIENCE.total_seconds()))
        else:
            try:
                date = parsedate_to_datetime(text)
            except ValueError:
                return None
            asked = date.replace(tzinfo=date.tzinfo or UTC) - self._now()
        return min(max(asked, timedelta(0)), LONGEST_PATIENCE)


def quoted(body: bytes) -> str:
    """The start of an answer, fit for a message."""
    text = redact(body.decode(errors="replace"))
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * QUOTED])
    return " ".join(printable.split())[:QUOTED]


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    received = bytearray()
    async for chunk in response.content.iter_chunked(8192):
        received += chunk
        if len(received) >= ANSWER_LIMIT:
            break
    return bytes(received[:ANSWER_LIMIT])


def _problem(error: BaseException, target: Target) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {target.timeout.total_seconds():g}s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or error.os_error}"
    return f"the exchange broke: {type(error).__name__}"
