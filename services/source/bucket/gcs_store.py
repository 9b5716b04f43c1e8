"""Buckets of Google Cloud Storage, through google-cloud-storage: this is its only door."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.oauth2.credentials import Credentials
from google.oauth2.service_account import Credentials as KeyCredentials
from requests import RequestException
from urllib3.exceptions import HTTPError

from services.source.bucket.objects import (
    Bounded,
    ObjectChanged,
    Page,
    StoredObject,
    StoreError,
)
from shared.web.wire import Wire
from shared.web.wired_requests import wired, wired_session

SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
PAGE = 1000
_LONGEST = 500  # of a stranger's message
_FIELDS = "items(name,etag,size,generation),nextPageToken"
_REFUSALS = frozenset({401, 403})


@lru_cache(maxsize=256)  # with its token, which lives for an hour
def key_credentials(key: str) -> Any:
    """Of a service account's JSON key; other kinds of JSON, which may run programs, are refused."""
    try:
        return KeyCredentials.from_service_account_info(json.loads(key), scopes=[SCOPE])
    except (ValueError, TypeError, AttributeError, GoogleAuthError) as error:
        problem = "key 'serviceaccount' of the Secret is not the JSON key of a service account"
        raise StoreError(problem, refuses_us=True) from error


def token_credentials(token: str) -> Any:
    return Credentials(token=token)


class GcsStore:
    def __init__(
        self, wire: Wire, credentials: Any, address: str, bucket: str, prefix: str
    ) -> None:
        session = AuthorizedSession(credentials, auth_request=Request(wired_session(wire)))
        self._client = storage.Client(
            project="none",  # of no importance to reading
            credentials=credentials,
            _http=wired(session, wire),
            client_options={"api_endpoint": address},
        )
        self._client._bucket_metadata_cache = None  # for tracing; asks behind our back
        self._name = bucket
        self._bucket = self._client.bucket(bucket)
        self._prefix = prefix

    def page(self, token: str) -> Page:
        with self._errors():
            listed = self._client.list_blobs(
                self._bucket,
                prefix=self._prefix or None,
                page_token=token or None,
                page_size=PAGE,
                fields=_FIELDS,
                retry=None,
            )
            objects = [_stored(blob) for blob in next(listed.pages, ())]
            return Page(objects, listed.next_page_token or "")

    def read(self, found: StoredObject, into: Bounded) -> None:
        blob = self._bucket.blob(found.key, generation=int(found.version))
        with self._errors():
            try:
                _download(blob, into)
            except NotFound as error:
                raise ObjectChanged(found.key) from error

    def read_latest(self, key: str, into: Bounded) -> str | None:
        with self._errors():
            blob = self._bucket.get_blob(key, retry=None)
            if blob is None:
                return None
            etag = str(blob.etag)
            _download(blob, into)
            return etag

    @contextmanager
    def _errors(self) -> Iterator[None]:
        what = f"bucket '{self._name}'"
        try:
            yield
        except NotFound as error:
            raise StoreError(f"{what} not found") from error
        except GoogleAPICallError as error:
            refused = error.code in _REFUSALS
            raise StoreError(f"{what}: {_said(error)}", refuses_us=refused) from error
        except GoogleAuthError as error:
            raise StoreError(f"{what}: {_refused(error)}", refuses_us=True) from error
        except _BROKEN as error:
            raise StoreError(f"{what}: {error}"[:_LONGEST]) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"{what}: an answer that cannot be read: {type(error).__name__}"
            raise StoreError(problem) from error


_BROKEN = (GoogleAPIError, RequestException, HTTPError, InvalidResponse, DataCorruption)


def _said(error: GoogleAPICallError) -> str:
    """Its message, if such a store said it: an endpoint may be any server that we reach."""
    answer = error.response
    kind = answer.headers.get("Content-Type", "") if answer is not None else ""
    message = error.message if kind.startswith("application/json") else "no answer of such a store"
    return f"{error.code} {message}"[:_LONGEST]


def _refused(error: GoogleAuthError) -> str:
    """With what the token service said, if it said it as such a service does."""
    said, *details = error.args or ("",)
    known = details and isinstance(details[0], dict)
    return f"no token: {said}"[:_LONGEST] if known else "no token from the service of the key"


def _stored(blob: Any) -> StoredObject:
    return StoredObject(blob.name, blob.etag, int(blob.size), str(int(blob.generation)))


def _download(blob: Any, into: Bounded) -> None:
    """As it is stored: its size in the listing is that of what may be compressed."""
    blob.download_to_file(into, raw_download=True, retry=None)
