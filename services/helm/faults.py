"""Whose fault a failure is: the release's, or that of a moment."""

from shared.cluster.errors import TooManyRequests, Unreachable
from shared.cluster.refusal import Refused


def is_passing(error: BaseException | None) -> bool:
    """Whether it, or what it came from, is the API server or a webhook being away."""
    while error is not None:
        if isinstance(error, Unreachable | TooManyRequests):
            return True
        if isinstance(error, Refused) and error.is_passing:
            return True
        error = error.__cause__
    return False
