"""The trusted root of the public-good instance of Sigstore, when a spec names none of its own.

It is fetched from Sigstore's repository of trust (TUF, which proves itself) once a day. Where that
cannot be reached the last one known counts, at first the one that came with the library: it misses
keys that are newer than itself, and then refuses what they signed, but accepts nothing wrong.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from tempfile import TemporaryDirectory

from shared.clock import Now, now

URL = "https://tuf-repo-cdn.sigstore.dev"
TARGET = "trusted_root.json"
EVERY = timedelta(days=1)
AFTER_FAILURE = timedelta(hours=1)
PATIENCE = 5  # seconds for one request, which the library tries four times
_log = logging.getLogger(__name__)


class PublicGood:
    def __init__(self, fetch: Callable[[], bytes] | None = None, now: Now = now) -> None:
        self._fetch = fetch or fetched
        self._now = now
        self._content = b""
        self._due: datetime | None = None
        self._one_at_a_time = asyncio.Lock()

    async def trusted_root(self) -> bytes:
        async with self._one_at_a_time:
            if self._due is None or self._now() >= self._due:
                self._content = await asyncio.to_thread(self._renewed)
            return self._content

    def _renewed(self) -> bytes:
        from tuf.api.exceptions import DownloadError, RepositoryError

        try:
            content = self._fetch()
        except (DownloadError, RepositoryError, OSError, ValueError) as error:
            reason = {"reason": str(error) or type(error).__name__}
            _log.warning("the trusted root of Sigstore cannot be renewed", extra=reason)
            self._due = self._now() + AFTER_FAILURE
            return self._content or embedded(TARGET)
        self._due = self._now() + EVERY
        return content


def embedded(name: str) -> bytes:
    """Of what came with the library."""
    from sigstore._utils import read_embedded

    return read_embedded(name, URL)


def fetched() -> bytes:
    from tuf.ngclient.updater import Updater
    from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

    with TemporaryDirectory(prefix="penstock-tuf-") as folder:
        updater = Updater(
            metadata_dir=folder,
            metadata_base_url=URL,
            target_dir=folder,
            target_base_url=f"{URL}/targets/",
            fetcher=Urllib3Fetcher(socket_timeout=PATIENCE),
            bootstrap=embedded("root.json"),
        )
        target = updater.get_targetinfo(TARGET)
        if target is None:
            raise ValueError(f"{URL} has no {TARGET}")
        with open(updater.download_target(target), "rb") as file:
            return file.read()
