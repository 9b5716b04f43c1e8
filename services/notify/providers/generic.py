"""The event as JSON to any address, as it is or signed with a shared token."""

import hashlib
import hmac

import msgspec

from services.notify.posting import Post
from services.notify.target import Misconfigured, Target
from shared.messages import EventPayload

COMPONENT_HEADER = "gotk-component"
SIGNATURE_HEADER = "X-Signature"


async def send(event: EventPayload, target: Target, post: Post) -> None:
    await post(target, _body(event), _headers(event, target))


async def send_signed(event: EventPayload, target: Target, post: Post) -> None:
    if not target.token:
        raise Misconfigured("generic-hmac needs the key token in the Secret of spec.secretRef")
    body = _body(event)
    signature = hmac.new(target.token.encode(), body, hashlib.sha256).hexdigest()
    headers = {**_headers(event, target), SIGNATURE_HEADER: f"sha256={signature}"}
    await post(target, body, headers)


def _body(event: EventPayload) -> bytes:
    return msgspec.json.encode(event)


def _headers(event: EventPayload, target: Target) -> dict[str, str]:
    component = "".join(c for c in event.reporting_controller if c.isprintable() and c.isascii())
    return {COMPONENT_HEADER: component, **target.headers}
