"""What each type of Provider implements."""

from typing import Protocol

from services.notify.posting import Post
from services.notify.target import Target
from shared.messages import EventPayload


class Send(Protocol):
    async def __call__(self, event: EventPayload, target: Target, post: Post) -> None:
        """Returns when the provider has the message; raises NotDelivered or Misconfigured."""
