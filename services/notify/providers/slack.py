"""Slack: an incoming webhook, or chat.postMessage with a bot's token.

The text of an event is shown, never obeyed: Slack's control characters are escaped, so that no
event mentions a channel or hides a link behind a word.
"""

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from services.notify.event import ERROR
from services.notify.posting import Answer, Post, Refused, Rejected, Unavailable, quoted
from services.notify.target import Target
from shared.messages import EventPayload

API_METHOD: Final = "/chat.postMessage"
# The API answers 200 in any case; `error` says whether another attempt can help.
_TEMPORARY: Final = frozenset(
    {"fatal_error", "internal_error", "ratelimited", "request_timeout", "service_unavailable"}
)
_ABOUT_THE_MESSAGE: Final = frozenset(
    {"invalid_attachments", "msg_too_long", "no_text", "too_many_attachments"}
)


class _ApiAnswer(msgspec.Struct):
    ok: bool = False
    error: str = "no reason given"


async def send(event: EventPayload, target: Target, post: Post) -> None:
    headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    answer = await post(target, msgspec.json.encode(payload(event, target)), headers)
    if urlsplit(target.address).path.endswith(API_METHOD):
        _check(answer, target)


def payload(event: EventPayload, target: Target) -> dict[str, Any]:
    involved = event.involved_object
    subject = f"{involved.kind.lower()}/{involved.name}.{involved.namespace}"
    text = _escape(event.message)
    attachment = {
        "color": "danger" if event.severity == ERROR else "good",
        "author_name": subject,
        "fallback": f"{subject}: {text.partition(chr(10))[0]}",
        "text": text,
        "mrkdwn_in": ["text"],
        "fields": [
            {"title": _escape(title), "value": _escape(value), "short": False}
            for title, value in event.metadata.items()
        ],
    }
    message = {
        "username": target.username or _escape(event.reporting_controller),
        "attachments": [attachment],
    }
    return {"channel": target.channel, **message} if target.channel else message


def _escape(text: str) -> str:
    """Slack's own rule for text that is not markup; a NUL ends messages in some clients."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\0", "")


def _check(answer: Answer, target: Target) -> None:
    try:
        said = msgspec.json.decode(answer.body, type=_ApiAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"{target.host} answered what Slack does not answer") from error
    if said.ok:
        return
    problem = f"{target.host} answered: {quoted(said.error.encode())}"
    if said.error in _TEMPORARY:
        raise Unavailable(problem)
    if said.error in _ABOUT_THE_MESSAGE:
        raise Rejected(problem)
    raise Refused(problem)
