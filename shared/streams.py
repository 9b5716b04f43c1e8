"""Streams and consumers: created when missing, adapted when different.

Any service may create a stream that it uses, so that no start order exists and a stream deleted
while everything runs comes back; only its owners change the settings of one that is there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from shared.line import BusError, Frame, Line
from shared.subjects import Stream

API = "$JS.API"
# JetStream's own numbers for what we can do something about.
STREAM_DIFFERS = 10058
STREAM_MISSING = 10059
CONSUMER_MISSING = 10014


class Refused(BusError):
    """JetStream's answer to a request that it does not serve."""

    def __init__(self, what: str, code: int, description: str) -> None:
        super().__init__(f"{what}: {description} ({code})")
        self.code = code


async def ask(line: Line, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """One request to JetStream's API, e.g. `STREAM.INFO.EVENTS`; raises Refused."""
    frame = await line.request(f"{API}.{verb}", msgspec.json.encode(body))
    return answer_of(frame, verb)


def answer_of(frame: Frame, what: str) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(frame.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(what, 0, f"an answer that is no JSON: {error}") from error
    refusal = answer.get("error")
    if isinstance(refusal, dict):
        code = refusal.get("err_code") or refusal.get("code") or 0
        raise Refused(what, int(code), str(refusal.get("description", "no reason given")))
    return answer


async def ensure_stream(line: Line, stream: Stream[Any]) -> None:
    wanted = {"name": stream.name, "subjects": [stream.subjects], **stream.settings}
    try:
        await ask(line, f"STREAM.CREATE.{stream.name}", wanted)
    except Refused as refusal:
        if refusal.code != STREAM_DIFFERS:
            raise
        if line.service in stream.owners:
            await ask(line, f"STREAM.UPDATE.{stream.name}", wanted)


class KnownConsumer(NamedTuple):
    config: dict[str, Any]
    settled_to: int  # everything up to this sequence was acknowledged


async def find_consumer(line: Line, stream: Stream[Any], name: str) -> KnownConsumer | None:
    try:
        info = await ask(line, f"CONSUMER.INFO.{stream.name}.{name}", {})
    except Refused as refusal:
        if refusal.code in (CONSUMER_MISSING, STREAM_MISSING):
            return None
        raise
    return KnownConsumer(info["config"], info["ack_floor"]["stream_seq"])


async def create_consumer(
    line: Line, stream: Stream[Any], filters: Sequence[str], config: Mapping[str, Any]
) -> str:
    """Create it, or update the one of that name; answers when it came to be, by the server's clock.

    A single filter goes into the request's subject too, where the server's permissions see it.
    """
    verb = f"CONSUMER.CREATE.{stream.name}.{config['name']}"
    if len(filters) == 1:
        verb += f".{filters[0]}"
        chosen: dict[str, Any] = {"filter_subject": filters[0]}
    else:
        chosen = {"filter_subjects": list(filters)}
    info = await ask(line, verb, {"stream_name": stream.name, "config": {**config, **chosen}})
    return str(info["created"])


async def delete_consumer(line: Line, stream: Stream[Any], name: str) -> None:
    try:
        await ask(line, f"CONSUMER.DELETE.{stream.name}.{name}", {})
    except Refused as refusal:
        if refusal.code not in (CONSUMER_MISSING, STREAM_MISSING):
            raise


def from_now_on() -> dict[str, Any]:
    return {"deliver_policy": "new"}


def from_the_start() -> dict[str, Any]:
    """The only policy that a work queue allows."""
    return {"deliver_policy": "all"}


def starting_behind(sequence: int) -> dict[str, Any]:
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": sequence + 1}


def starting_at(moment: str) -> dict[str, Any]:
    """From a time on, in RFC 3339; JetStream counts nanoseconds."""
    return {"deliver_policy": "by_start_time", "opt_start_time": moment}
