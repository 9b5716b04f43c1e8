"""One attempt at one delivery: the Provider and its Secrets as they are now, then the request."""

from collections.abc import Callable
from datetime import datetime, timedelta

from services.notify.posting import Post, Refused, Rejected, Unavailable
from services.notify.providers import TYPES
from services.notify.target import Misconfigured, ReadSecret, target_of
from shared.clock import parse_rfc3339
from shared.cluster.errors import ApiError
from shared.messages import EventPayload
from shared.outcomes import Failed
from shared.resources.meta import NamespacedName
from shared.resources.notification import Provider

CLOCKS_DIFFER_BY = timedelta(minutes=5)


class Obsolete(Exception):
    """Nobody waits for this delivery any more."""


class Courier:
    def __init__(
        self,
        provider_at: Callable[[NamespacedName], Provider | None],
        read_secret: ReadSecret,
        post: Post,
    ) -> None:
        self._provider_at = provider_at
        self._read_secret = read_secret
        self._post = post

    async def attempt(self, key: NamespacedName, event: EventPayload, queued_at: datetime) -> None:
        """Returns when the provider has it; raises NotDelivered or Obsolete."""
        provider = self._provider_at(key)
        if provider is None or provider.spec.suspend or _is_younger(provider, queued_at):
            raise Obsolete(f"Provider {key} does not take it any more")
        send = TYPES.get(provider.spec.type)
        if send is None:
            raise Rejected(unserved(provider))
        try:
            target = await target_of(provider, self._read_secret)
            await send(event, target, self._post)
        except Misconfigured as error:
            raise Refused(str(error)) from error
        except ApiError as error:
            raise Unavailable(f"its Secret cannot be read: {error}", error.retry_after) from error
        except Failed as error:  # a Secret that does not hold what it should
            raise Refused(str(error)) from error


def unserved(provider: Provider) -> str:
    served = ", ".join(sorted(TYPES))
    return (
        f"Provider {provider.key} has type {provider.spec.type}, "
        f"which is not served by this version of Penstock; served are {served}"
    )


def _is_younger(provider: Provider, queued_at: datetime) -> bool:
    """A new Provider of an old name gets nothing of what its predecessor did not take."""
    created = provider.metadata.creation_timestamp
    return created is not None and parse_rfc3339(created) - CLOCKS_DIFFER_BY > queued_at
