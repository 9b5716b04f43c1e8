"""Which trace the running task works for, in the W3C form that message headers carry.

One trace follows a commit from push to Ready: a consumer sets it from the message it handles, and
whatever that task publishes goes out under it.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "traceparent"
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str] = ContextVar("traceparent", default="")


def current() -> str:
    """The task's trace, or a new one where it works for none."""
    return _current.get() or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


@contextmanager
def working_for(trace: str) -> Iterator[None]:
    """Anything that has not the form of a traceparent is ignored: headers come from outside."""
    before = _current.set(trace if _FORM.fullmatch(trace) else "")
    try:
        yield
    finally:
        _current.reset(before)
