"""The identities of the clouds, for those who fetch: a refusal is a failure to fetch."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.source.endings import FetchFailed, FetchStalled
from shared.cloud import CloudIdentities, CloudToken, TokenRequest
from shared.cloud.tokens import Application
from shared.credentials import Bearer, Proxy
from shared.outcomes import Failed, Stalled


class FetchingIdentities(CloudIdentities):
    async def token(self, ask: TokenRequest) -> CloudToken:
        """Raises FetchFailed and FetchStalled."""
        with _fetching():
            return await super().token(ask)

    async def storage_token(self, application: Application, proxy: Proxy | None) -> Bearer:
        """Raises FetchFailed."""
        with _fetching():
            return await super().storage_token(application, proxy)


@contextmanager
def _fetching() -> Iterator[None]:
    try:
        yield
    except Failed as error:
        raise FetchFailed(str(error), reason=error.reason) from error
    except Stalled as error:
        raise FetchStalled(str(error), reason=error.reason) from error
