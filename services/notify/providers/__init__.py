"""Types of Provider, one file each. A new one is a file with a `Send` and a line in `TYPES`."""

from types import MappingProxyType
from typing import Final

from services.notify.providers import generic, slack
from services.notify.providers.interface import Send

TYPES: Final[MappingProxyType[str, Send]] = MappingProxyType(
    {
        "generic": generic.send,
        "generic-hmac": generic.send_signed,
        "slack": slack.send,
    }
)
