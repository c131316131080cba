"""S3, DynamoDB and Step Functions: the only boto3. It is imported, and each client made, when first used.

A request that carries its image never gets here, which saves it 350 ms of a cold start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, Protocol

from vision.errors import Forbidden, NotFound, TooLarge, Unavailable
from vision.request import S3Object

# Of the last: a version id that is none, a version that marks a deletion, a key of more than 1,024 bytes, an
# object that was replaced since, an execution that Step Functions has forgotten.
_MISSING = {
    "NoSuchKey",
    "NoSuchBucket",
    "NoSuchVersion",
    "404",
    "NotFound",
    "InvalidArgument",
    "MethodNotAllowed",
    "KeyTooLongError",
    "PreconditionFailed",
    "ExecutionDoesNotExist",
}
_REFUSED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "InvalidObjectState"}


class ObjectStore(Protocol):
    """Where bytes are kept."""

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        """Gives an object's bytes.

        Raises:
            NotFound, Forbidden, TooLarge, Unavailable: when it cannot be had.
        """

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        """Writes an object, gives its etag.

        Raises:
            Unavailable: when it cannot be written.
        """

    def presign_get(self, bucket: str, key: str, expires_s: int) -> str:
        """Gives a URL that reads one object for a while."""


class S3Store:
    """Objects in S3."""

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        """Gives an object's bytes; its size is checked before they are read.

        Without a version, an etag that is given must still be the object's.
        """
        version = {"VersionId": source.version_id} if source.version_id else {}
        if source.etag and not version:
            version = {"IfMatch": source.etag}
        where = _place(source.bucket, source.key)
        with translated(where):
            found = _s3().get_object(Bucket=source.bucket, Key=source.key, **version)
            if found["ContentLength"] > max_bytes:
                found["Body"].close()
                raise TooLarge(f"{where} has {found['ContentLength']:,} bytes, the limit is {max_bytes:,}")
            data: bytes = found["Body"].read()
        return data

    def describe(self, source: S3Object) -> tuple[S3Object, int]:
        """Gives an object as it is now, by its etag, and its size in bytes."""
        with translated(_place(source.bucket, source.key)):
            found = _s3().head_object(Bucket=source.bucket, Key=source.key)
        return S3Object(source.bucket, source.key, etag=found["ETag"].strip('"')), found["ContentLength"]

    def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
        """Gives bytes of an object in chunks of at most 1 MiB, if it still has its etag."""
        last = start + length - 1
        with translated(_place(source.bucket, source.key)):
            found = _s3().get_object(
                Bucket=source.bucket, Key=source.key, IfMatch=source.etag, Range=f"bytes={start}-{last}"
            )
            with closing(found["Body"]) as body:  # its own context is the raw stream, which checks no length
                yield from body.iter_chunks(2**20)

    def list_folders(self, bucket: str, prefix: str) -> list[str]:
        """Gives the names of the folders right under a prefix, which ends with a slash or is empty."""
        pages = _s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        with translated(_place(bucket, prefix)):
            folders = [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", ())]
        return [folder.removeprefix(prefix).rstrip("/") for folder in folders]

    def has_objects(self, bucket: str, prefix: str) -> bool:
        """Tells whether the key of any object begins with a prefix."""
        with translated(_place(bucket, prefix)):
            return bool(_s3().list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)["KeyCount"])

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        """Writes an object, gives its etag."""
        try:
            with translated(_place(bucket, key)):
                answer = _s3().put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)
        except (Forbidden, NotFound) as error:
            # Where results go is the deployment's doing, not the caller's: once mended, a retry succeeds.
            raise Unavailable(f"a result cannot be written: {error.detail}") from error
        etag: str = answer["ETag"].strip('"')
        return etag

    def presign_get(self, bucket: str, key: str, expires_s: int) -> str:
        """Gives a URL that reads one object for a while."""
        with translated(_place(bucket, key)):
            url: str = _s3().generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=expires_s
            )
        return url

    def presign_post(
        self, bucket: str, key: str, *, content_type: str, max_bytes: int, expires_s: int
    ) -> dict[str, Any]:
        """Gives `url` and `fields` of a form that uploads one object of that type and of 1..max_bytes."""
        with translated(_place(bucket, key)):
            form: dict[str, Any] = _s3().generate_presigned_post(
                bucket,
                key,
                Fields={"Content-Type": content_type},
                Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
                ExpiresIn=expires_s,
            )
        return form


class Table:
    """One DynamoDB table with the key `id`.

    Args:
        name: of the table.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def get(self, item_id: str) -> dict[str, Any] | None:
        """Gives a row as last written, or `None`."""
        with translated("the jobs table"):
            item = self._resource().get_item(Key={"id": item_id}, ConsistentRead=True).get("Item")
        return dict(item) if item is not None else None

    def update(
        self,
        item_id: str,
        values: Mapping[str, Any],
        *,
        remove: tuple[str, ...] = (),
        condition: str = "",
        condition_values: Mapping[str, Any] | None = None,
    ) -> bool:
        """Writes attributes of a row, if a condition holds; tells whether it did.

        Args:
            item_id: of the row, made where it is missing.
            values: attributes to set.
            remove: attributes to take away.
            condition: in DynamoDB's language; attributes as `#name`, values as `:name`.
            condition_values: values that only the condition names.
        """
        setters = ", ".join(f"#{name} = :{name}" for name in values)
        removers = " REMOVE " + ", ".join(f"#{name}" for name in remove) if remove else ""
        names = {*values, *remove, *_names_in(condition)}
        arguments: dict[str, Any] = {
            "Key": {"id": item_id},
            "UpdateExpression": f"SET {setters}{removers}",
            "ExpressionAttributeNames": {f"#{name}": name for name in names},
            "ExpressionAttributeValues": {
                f":{name}": value for name, value in {**values, **(condition_values or {})}.items()
            },
        }
        if condition:
            arguments["ConditionExpression"] = condition
        with translated("the jobs table"):
            table = self._resource()
            try:
                table.update_item(**arguments)
            except table.meta.client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def _resource(self) -> Any:
        return _table(self._name)


def _names_in(condition: str) -> set[str]:
    words = condition.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return {word[1:] for word in words if word.startswith("#")}


# A function has seconds, not the minute that boto3 waits by default: the shortest runs for ten.
_PATIENCE: dict[str, Any] = {
    "connect_timeout": 2,
    "read_timeout": 3,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}


@cache
def _s3() -> Any:
    import boto3  # noqa: PLC0415  # 350 ms with a client, spent only where AWS is needed
    from botocore.config import Config  # noqa: PLC0415

    # "virtual": presigned forms and URLs name the region. The global host may redirect, which forms lose.
    config = Config(
        **_PATIENCE,
        signature_version="s3v4",
        s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
    )
    return boto3.client("s3", config=config)


@cache
def _table(name: str) -> Any:
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.resource("dynamodb", config=Config(**_PATIENCE)).Table(name)


@cache
def states_client() -> Any:
    """Gives a client of Step Functions."""
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.client("stepfunctions", config=Config(**_PATIENCE))


def _place(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key:.200}"


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turns what boto3 raises into the service's errors; anything unknown may pass, so it is retried."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError  # noqa: PLC0415

    try:
        yield
    except ParamValidationError as error:
        raise NotFound(f"{where} is no valid name of an object") from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _MISSING:
            raise NotFound(f"{where} does not exist") from error
        if code in _REFUSED:
            raise Forbidden(f"{where} may not be used") from error
        raise Unavailable(f"{where} did not answer: {code}") from error
    except BotoCoreError as error:
        raise Unavailable(f"{where} did not answer") from error
