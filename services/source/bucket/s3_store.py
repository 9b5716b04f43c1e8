"""Buckets of everything that speaks S3, through botocore (see cloud.aws_session)."""

from typing import Any

from services.source.bucket.objects import (
    Bounded,
    ObjectChanged,
    Page,
    StoredObject,
    StoreError,
)
from shared.cloud.aws_session import AwsError, aws_errors, client
from shared.cloud.tokens import AwsKeys, Where
from shared.web.wire import Wire

_PIECE = 256 * 1024
_GONE = frozenset({"NoSuchKey", "NotFound", "404"})


class S3Store:
    """`keys` None: anonymous."""

    def __init__(self, wire: Wire, keys: AwsKeys | None, where: Where, bucket: str, prefix: str):
        self._client: Any = client("s3", wire, keys, where)
        self._bucket = bucket
        self._prefix = prefix

    def page(self, token: str) -> Page:
        following = {"ContinuationToken": token} if token else {}
        try:
            with aws_errors():
                answer = self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=self._prefix, **following
                )
                objects = [_stored(listed) for listed in answer.get("Contents", ())]
        except AwsError as error:
            raise self._failure(error) from error
        more = answer.get("NextContinuationToken", "") if answer.get("IsTruncated") else ""
        return Page(objects, more)

    def read(self, found: StoredObject, into: Bounded) -> None:
        if self.read_latest(found.key, into) != found.etag:
            raise ObjectChanged(found.key)

    def read_latest(self, key: str, into: Bounded) -> str | None:
        try:
            with aws_errors():
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
                etag = _bare(answer["ETag"])
                body = answer["Body"]
        except AwsError as error:
            if error.code in _GONE:
                return None
            raise self._failure(error) from error
        with body:
            _copy(body, into, key)
        return etag

    def _failure(self, error: AwsError) -> StoreError:
        if error.code == "NoSuchBucket":
            return StoreError(f"bucket '{self._bucket}' not found")
        problem = f"bucket '{self._bucket}': {error}"
        return StoreError(problem, refuses_us=error.refuses_us)


def _copy(body: Any, into: Bounded, key: str) -> None:
    while True:
        try:
            with aws_errors():
                piece = body.read(_PIECE)
        except AwsError as error:
            raise StoreError(f"object {key!r}: {error}") from error
        if not piece:
            return
        into.write(piece)


def _stored(listed: dict[str, Any]) -> StoredObject:
    return StoredObject(listed["Key"], _bare(listed["ETag"]), listed["Size"])


def _bare(etag: str) -> str:
    return etag.strip('"')
