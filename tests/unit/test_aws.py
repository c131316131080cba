"""S3 and DynamoDB, in moto; and what their faults become."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from mypy_boto3_s3 import S3Client

from vision import aws
from vision.aws import S3Store, Table
from vision.errors import Forbidden, NotFound, TooLarge, Unavailable, VisionError
from vision.request import S3Object


class FailingClient:
    """Every call raises the same error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(**_arguments: Any) -> None:
            raise self._error

        return fail


def _client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "GetObject")


@pytest.mark.usefixtures("deployment")
class TestS3Store:
    def test_what_was_put_is_got(self, s3: S3Client) -> None:
        store = S3Store()

        store.put("outbox", "results/a b+ü.json", b"{}", "application/json")

        assert store.get(S3Object("outbox", "results/a b+ü.json"), 10) == b"{}"
        head = s3.head_object(Bucket="outbox", Key="results/a b+ü.json")
        assert head["ContentType"] == "application/json"

    def test_an_older_version_can_be_got(self, s3: S3Client) -> None:
        first = s3.put_object(Bucket="inbox", Key="a.jpg", Body=b"first")
        s3.put_object(Bucket="inbox", Key="a.jpg", Body=b"second")

        assert S3Store().get(S3Object("inbox", "a.jpg", first["VersionId"]), 10) == b"first"
        assert S3Store().get(S3Object("inbox", "a.jpg"), 10) == b"second"

    def test_an_object_over_the_limit_is_refused(self) -> None:
        S3Store().put("outbox", "a", bytes(11), "x/y")

        assert len(S3Store().get(S3Object("outbox", "a"), 11)) == 11
        with pytest.raises(TooLarge, match="11 bytes, the limit is 10"):
            S3Store().get(S3Object("outbox", "a"), 10)

    @pytest.mark.parametrize(
        "source",
        [
            S3Object("inbox", "missing.jpg"),
            S3Object("no-such-bucket", "a.jpg"),
            S3Object("not a bucket!", "a.jpg"),
            S3Object("inbox", "x" * 1100),
        ],
        ids=["key", "bucket", "bucket name", "long key"],
    )
    def test_what_is_not_there_is_not_found(self, source: S3Object) -> None:
        with pytest.raises(NotFound):
            S3Store().get(source, 10)

    def test_a_version_that_is_not_there_is_not_found(self, s3: S3Client) -> None:
        s3.put_object(Bucket="inbox", Key="a.jpg", Body=b"x")

        with pytest.raises(NotFound):
            S3Store().get(S3Object("inbox", "a.jpg", "00000000-0000-0000-0000-000000000000"), 10)

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (_client_error("NoSuchKey"), NotFound),
            (_client_error("NoSuchBucket"), NotFound),
            (_client_error("NoSuchVersion"), NotFound),
            (_client_error("404"), NotFound),
            (_client_error("InvalidArgument"), NotFound),
            (_client_error("MethodNotAllowed"), NotFound),
            (_client_error("KeyTooLongError"), NotFound),
            (_client_error("AccessDenied"), Forbidden),
            (_client_error("403"), Forbidden),
            (_client_error("InvalidObjectState"), Forbidden),
            (_client_error("SlowDown"), Unavailable),
            (_client_error("InternalError"), Unavailable),
            (_client_error("RequestTimeout"), Unavailable),
            (_client_error("ThrottlingException"), Unavailable),
            (_client_error("ExpiredToken"), Unavailable),
            (EndpointConnectionError(endpoint_url="https://s3"), Unavailable),
            (ReadTimeoutError(endpoint_url="https://s3"), Unavailable),
        ],
        ids=lambda value: value.response["Error"]["Code"] if isinstance(value, ClientError) else None,
    )
    def test_faults_are_told_apart(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[VisionError]
    ) -> None:
        monkeypatch.setattr(aws, "_s3", lambda: FailingClient(error))

        with pytest.raises(expected, match=r"s3://inbox/a\.jpg"):
            S3Store().get(S3Object("inbox", "a.jpg"), 10)

    @pytest.mark.parametrize("code", ["NoSuchBucket", "AccessDenied", "SlowDown", "KMS.DisabledException"])
    def test_a_result_that_cannot_be_written_is_worth_a_retry(
        self, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        monkeypatch.setattr(aws, "_s3", lambda: FailingClient(_client_error(code)))

        with pytest.raises(Unavailable, match=r"s3://outbox/a\.json"):
            S3Store().put("outbox", "a.json", b"", "x/y")

    def test_an_object_that_was_replaced_is_not_found_by_its_old_etag(self) -> None:
        etag = S3Store().put("inbox", "a.jpg", b"one", "x/y")
        found = S3Store().get(S3Object("inbox", "a.jpg", etag=etag), 10)

        S3Store().put("inbox", "a.jpg", b"two", "x/y")

        assert found == b"one"
        with pytest.raises(NotFound):
            S3Store().get(S3Object("inbox", "a.jpg", etag=etag), 10)

    def test_a_presigned_upload_is_bound_in_key_type_and_size(self) -> None:
        form = S3Store().presign_post(
            "inbox", "uploads/detection/1/a.jpg", content_type="image/jpeg", max_bytes=5000, expires_s=60
        )

        policy = json.loads(base64.b64decode(form["fields"]["policy"]))
        assert {"bucket": "inbox"} in policy["conditions"]
        assert {"key": "uploads/detection/1/a.jpg"} in policy["conditions"]
        assert {"Content-Type": "image/jpeg"} in policy["conditions"]
        assert ["content-length-range", 1, 5000] in policy["conditions"]
        assert form["fields"]["Content-Type"] == "image/jpeg"

    def test_presigned_urls_name_the_bucket_and_its_region(self) -> None:
        # The global host answers uploads to young buckets of other regions with a redirect, which forms lose.
        form = S3Store().presign_post("inbox", "a", content_type="image/png", max_bytes=1, expires_s=60)
        url = S3Store().presign_get("outbox", "a b.json", 60)

        assert form["url"].startswith("https://inbox.s3.eu-central-1.amazonaws.com")
        assert url.startswith("https://outbox.s3.eu-central-1.amazonaws.com/a%20b.json?")
        assert "X-Amz-Expires=60" in url


@pytest.mark.usefixtures("deployment")
class TestModels:
    def test_an_object_is_described_by_its_etag_and_size(self) -> None:
        etag = S3Store().put("outbox", "m/model.onnx", b"0123456789", "x/y")

        found = S3Store().describe(S3Object("outbox", "m/model.onnx"))

        assert found == (S3Object("outbox", "m/model.onnx", etag=etag), 10)

    def test_a_range_is_read_of_the_object_that_was_described(self) -> None:
        S3Store().put("outbox", "m/model.onnx", b"0123456789", "x/y")
        source, _ = S3Store().describe(S3Object("outbox", "m/model.onnx"))

        assert b"".join(S3Store().read_range(source, 3, 4)) == b"3456"
        S3Store().put("outbox", "m/model.onnx", b"another", "x/y")
        with pytest.raises(NotFound):
            b"".join(S3Store().read_range(source, 3, 4))

    def test_folders_are_listed_by_name_and_files_are_not(self, s3: S3Client) -> None:
        for key in (
            "models/a/card.json",
            "models/a/deep/er",
            "models/b/card.json",
            "models/c",
            "elsewhere/d/e",
        ):
            s3.put_object(Bucket="outbox", Key=key, Body=b"")

        assert S3Store().list_folders("outbox", "models/") == ["a", "b"]
        assert S3Store().list_folders("outbox", "") == ["elsewhere", "models"]
        assert S3Store().list_folders("outbox", "nothing/") == []

    @pytest.mark.slow
    def test_more_folders_than_a_page_holds_are_all_listed(self, s3: S3Client) -> None:
        for number in range(1005):
            s3.put_object(Bucket="outbox", Key=f"models/{number:04}/card.json", Body=b"")

        assert len(S3Store().list_folders("outbox", "models/")) == 1005

    @pytest.mark.parametrize(
        ("error", "expected"),
        [(_client_error("SlowDown"), Unavailable), (_client_error("AccessDenied"), Forbidden)],
        ids=["SlowDown", "AccessDenied"],
    )
    def test_faults_are_told_apart_here_too(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[VisionError]
    ) -> None:
        monkeypatch.setattr(aws, "_s3", lambda: FailingClient(error))

        with pytest.raises(expected):
            S3Store().describe(S3Object("shelf", "a"))
        with pytest.raises(expected):
            list(S3Store().read_range(S3Object("shelf", "a", etag="e"), 0, 1))


@pytest.mark.usefixtures("deployment")
class TestTable:
    def test_a_row_is_made_changed_and_got(self) -> None:
        table = Table("jobs")

        table.update("1", {"status": "queued", "problem": "x", "n": 5})
        table.update("1", {"status": "done"}, remove=("problem",))

        assert table.get("1") == {"id": "1", "status": "done", "n": 5}

    def test_a_missing_row_is_none(self) -> None:
        assert Table("jobs").get("1") is None

    def test_a_condition_that_fails_changes_nothing_and_says_so(self) -> None:
        table = Table("jobs")
        table.update("1", {"token": "mine", "status": "running"})
        arguments: dict[str, Any] = {"condition": "#token = :token", "condition_values": {"token": "other"}}

        assert table.update("1", {"status": "done"}, **arguments) is False
        assert table.get("1") == {"id": "1", "token": "mine", "status": "running"}

    def test_a_condition_may_ask_for_a_new_row(self) -> None:
        table = Table("jobs")

        assert table.update("1", {"n": 1}, condition="attribute_not_exists(#id)") is True
        assert table.update("1", {"n": 2}, condition="attribute_not_exists(#id)") is False

    def test_a_missing_table_is_not_the_callers_fault(self) -> None:
        with pytest.raises(VisionError) as caught:
            Table("elsewhere").get("1")

        assert caught.value.is_retryable
