"""Containers of Azure, through azure-storage-blob: this is its only door."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, assert_never
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient
from urllib3.exceptions import HTTPError

from services.source.bucket.azure_secrets import AccountKey, SasKey
from services.source.bucket.objects import (
    Bounded,
    ObjectChanged,
    Page,
    StoredObject,
    StoreError,
)
from shared.clock import now
from shared.credentials import Bearer
from shared.web.wire import Wire
from shared.web.wired_requests import wired_session

PAGE = 1000
PIECE = 4 * 1024 * 1024  # the library holds this much of each download in memory
_LONGEST = 500  # of a stranger's message
_REFUSALS = frozenset({401, 403})

BlobLogin: TypeAlias = AccountKey | SasKey | Bearer

logging.getLogger("azure").setLevel(logging.CRITICAL)  # it tells of each request


class BlobStore:
    def __init__(
        self, wire: Wire, login: BlobLogin, address: str, container: str, prefix: str
    ) -> None:
        self._name = container
        self._prefix = prefix
        with self._errors():
            self._client: Any = ContainerClient(
                address,
                container,
                credential=_credential(login, address),
                transport=RequestsTransport(session=wired_session(wire), session_owner=False),
                retry_total=2,
                max_single_get_size=PIECE,
                max_chunk_get_size=PIECE,
            )

    def page(self, token: str) -> Page:
        with self._errors():
            listed: Any = self._client.list_blobs(
                name_starts_with=self._prefix or None, results_per_page=PAGE
            ).by_page(token or None)
            objects = [_stored(blob) for blob in next(listed, ())]
            return Page(objects, listed.continuation_token or "")

    def read(self, found: StoredObject, into: Bounded) -> None:
        with self._errors():
            try:
                self._client.download_blob(
                    found.key,
                    etag=found.version,
                    match_condition=MatchConditions.IfNotModified,
                ).readinto(into)
            except (ResourceNotFoundError, ResourceModifiedError) as error:
                raise ObjectChanged(found.key) from error

    def read_latest(self, key: str, into: Bounded) -> str | None:
        with self._errors():
            try:
                downloader = self._client.download_blob(key)
            except ResourceNotFoundError as error:
                if _code(error) == "ContainerNotFound":
                    raise
                return None
            downloader.readinto(into)
            return _bare(downloader.properties.etag)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        what = f"container '{self._name}'"
        try:
            yield
        except ResourceNotFoundError as error:
            raise StoreError(f"{what} not found") from error
        except ClientAuthenticationError as error:
            raise StoreError(f"{what}: {_said(error)}", refuses_us=True) from error
        except HttpResponseError as error:
            refused = error.status_code in _REFUSALS
            raise StoreError(f"{what}: {_said(error)}", refuses_us=refused) from error
        except (AzureError, HTTPError) as error:
            raise StoreError(f"{what}: {_said(error)}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"{what}: an answer that cannot be read: {type(error).__name__}"
            raise StoreError(problem) from error


def _credential(login: BlobLogin, address: str) -> Any:
    match login:
        case AccountKey():
            return AzureNamedKeyCredential(_account_of(address), login.key)
        case SasKey():
            return AzureSasCredential(login.token)
        case Bearer():
            return _Token(login.token)
        case _:
            assert_never(login)


class _Token:
    """What the library wants to be given: a token that we have already."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken(self._token, int(now().timestamp()) + 600)


def _account_of(address: str) -> str:
    """The first label of the host, or the first folder where hosts have no names of accounts."""
    parts = urlsplit(address)
    folder = parts.path.strip("/").partition("/")[0]
    return folder or (parts.hostname or "").partition(".")[0]


def _stored(blob: Any) -> StoredObject:
    return StoredObject(blob.name, _bare(blob.etag), int(blob.size), blob.etag)


def _bare(etag: str) -> str:
    return etag.strip('"')


def _code(error: AzureError) -> str:
    """Which the library adds to errors of the storage service."""
    return str(getattr(error, "error_code", ""))


def _said(error: Exception) -> str:
    """Only the first line, for headers follow; and only what such a store said.

    An endpoint may be any server that we reach, whose answers are not for its author.
    """
    answer = getattr(error, "response", None)
    if answer is not None and "x-ms-error-code" not in answer.headers:
        return f"the server answered {answer.status_code}, and not as such a store does"
    return str(error).partition("\n")[0][:_LONGEST]
