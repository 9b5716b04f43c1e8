"""Who may say and hear what on NATS: the server's permissions, derived from one table.

A user may publish what its code sends and nothing else, JetStream's API included, and may subscribe
to its own inbox alone: everything that arrives comes through a consumer that it was allowed to
make. No user may delete, purge or read a stream, or touch another's consumers on durable streams.
"""

from dataclasses import dataclass, field
from typing import Any

from shared.streams import API
from shared.subjects import ARTIFACTS, DELIVERIES, EVENTS, READY, REQUESTS, Stream

ANY = "*"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a user's code does on the bus; `durables` maps a stream to the consumer's name."""

    publishes: tuple[Stream[Any], ...]
    hears: tuple[Stream[Any], ...] = ()
    durables: tuple[tuple[Stream[Any], str], ...] = ()


ROLES: dict[str, Role] = {
    "source": Role(publishes=(ARTIFACTS, EVENTS), hears=(REQUESTS,)),
    "kustomize": Role(publishes=(READY, EVENTS), hears=(ARTIFACTS, REQUESTS, READY)),
    "helm": Role(publishes=(READY, EVENTS), hears=(ARTIFACTS, REQUESTS, READY)),
    "notify": Role(
        publishes=(REQUESTS, EVENTS, DELIVERIES),
        hears=(REQUESTS,),
        durables=((EVENTS, "notify"), (DELIVERIES, ANY)),
    ),
    "cli": Role(publishes=(REQUESTS,)),
}


@dataclass(frozen=True)
class Rights:
    """NATS subjects; what is not listed is denied."""

    publish: tuple[str, ...] = field(default=())
    subscribe: tuple[str, ...] = field(default=())


def rights_of(user: str) -> Rights:
    role = ROLES[user]
    allowed: set[str] = set()
    for stream in role.publishes:
        allowed |= {stream.subjects} | _keeping(user, stream)
    for stream in role.hears:
        allowed |= _keeping(user, stream) | _consuming(stream, ANY)
    for stream, name in role.durables:
        allowed |= _keeping(user, stream) | _consuming(stream, name) | _settling(stream, name)
    return Rights(tuple(sorted(allowed)), (f"_INBOX_{user}.>",))


def _keeping(user: str, stream: Stream[Any]) -> set[str]:
    creating = {f"{API}.STREAM.CREATE.{stream.name}"}
    if user in stream.owners:
        creating.add(f"{API}.STREAM.UPDATE.{stream.name}")
    return creating


def _consuming(stream: Stream[Any], name: str) -> set[str]:
    return {
        # Without and with one filter, which then stands in the subject.
        f"{API}.CONSUMER.CREATE.{stream.name}.{name}",
        f"{API}.CONSUMER.CREATE.{stream.name}.{name}.>",
        f"{API}.CONSUMER.MSG.NEXT.{stream.name}.{name}",
    }


def _settling(stream: Stream[Any], name: str) -> set[str]:
    return {
        f"{API}.CONSUMER.INFO.{stream.name}.{name}",
        f"{API}.CONSUMER.DELETE.{stream.name}.{name}",
        f"$JS.ACK.{stream.name}.{name}.>",
    }
