"""The map on one machine: what it lists, how it batches, what it tolerates and what it writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client
from tests.conftest import REGION

from local.distributed_map import MapRun, check_map, run_map
from local.states import Json, Services, StateFailed, UnknownLanguageError

EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:machine:0123"
DOCUMENT = {"prefix": "in/", "images": 3, "concurrency": 2, "tolerated": 0}


def _state(**changes: Any) -> dict[str, Any]:
    answer = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "f", "Payload.$": "$"},
        "OutputPath": "$.Payload",
        "End": True,
    }
    state = {
        "Type": "Map",
        "ItemReader": {"Resource": "", "Parameters": {"Bucket": "inbox", "Prefix.$": "$.prefix"}},
        "ItemSelector": {"key.$": "$$.Map.Item.Value.Key", "index.$": "$$.Map.Item.Index"},
        "ItemBatcher": {
            "MaxItemsPerBatchPath": "$.images",
            "MaxInputBytesPerBatch": 100_000,
            "BatchInput": {"shared.$": "$.prefix"},
        },
        "MaxConcurrencyPath": "$.concurrency",
        "ToleratedFailurePercentagePath": "$.tolerated",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED"},
            "StartAt": "A",
            "States": {"A": answer},
        },
        "ResultWriter": {
            "Resource": "",
            "Parameters": {"Bucket": "outbox", "Prefix": "out/"},
            "WriterConfig": {"OutputType": "JSONL", "Transformation": "COMPACT"},
        },
    }
    return {**state, **changes}


@pytest.fixture
def buckets(s3: S3Client) -> S3Client:
    for bucket in ("inbox", "outbox"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    return s3


def _put(s3: S3Client, number: int) -> list[str]:
    keys = [f"in/{index:05}" for index in range(number)]
    for key in keys:
        s3.put_object(Bucket="inbox", Key=key, Body=b"")
    s3.put_object(Bucket="inbox", Key="elsewhere", Body=b"")
    return keys


def _run(
    s3: S3Client, invoke: Any, state: dict[str, Any] | None = None, **document: Any
) -> tuple[Json, MapRun]:
    map_run = MapRun(EXECUTION, "Images")
    services = Services(invoke)
    wanted = state or _state()
    check_map(wanted)
    result = run_map(wanted, {**DOCUMENT, **document}, {}, map_run=map_run, services=services, s3=s3)
    return result, map_run


def _written(s3: S3Client, result: Json, status: str) -> list[Json]:
    place = result["ResultWriterDetails"]
    listed = json.loads(s3.get_object(Bucket=place["Bucket"], Key=place["Key"])["Body"].read())
    lines = []
    for file in listed["ResultFiles"][status]:
        lines += s3.get_object(Bucket=place["Bucket"], Key=file["Key"])["Body"].read().splitlines()
    return [json.loads(line) for line in lines]


def test_every_object_under_the_prefix_is_in_one_batch_also_past_the_first_page(buckets: S3Client) -> None:
    keys = _put(buckets, 1003)

    result, map_run = _run(buckets, lambda _function, part: part, images=100)

    parts = _written(buckets, result, "SUCCEEDED")
    assert [item["key"] for part in parts for item in part["Items"]] == keys
    assert [item["index"] for part in parts for item in part["Items"]] == list(range(1003))
    assert [len(part["Items"]) for part in parts] == [100] * 10 + [3]
    assert {json.dumps(part["BatchInput"]) for part in parts} == {'{"shared": "in/"}'}
    assert (map_run.counts["total"], map_run.counts["succeeded"], map_run.counts["pending"]) == (
        1003,
        1003,
        0,
    )


def test_a_batch_has_no_more_bytes_than_are_allowed(buckets: S3Client) -> None:
    _put(buckets, 10)
    state = _state()
    state["ItemBatcher"]["MaxInputBytesPerBatch"] = 70

    result, _ = _run(buckets, lambda _function, part: part, state, images=100)

    assert {len(part["Items"]) for part in _written(buckets, result, "SUCCEEDED")} == {2}


def test_a_part_that_fails_is_tolerated_up_to_the_share_and_kept_with_its_input(buckets: S3Client) -> None:
    _put(buckets, 9)

    def invoke(_function: str, part: Json) -> Json:
        if part["Items"][0]["index"] == 3:
            raise StateFailed("Unavailable", "S3 does not answer")
        return part

    result, map_run = _run(buckets, invoke, tolerated=34)

    (failed,) = _written(buckets, result, "FAILED")
    assert (failed["Status"], failed["Error"]) == ("FAILED", "Unavailable")
    assert [item["index"] for item in json.loads(failed["Input"])["Items"]] == [3, 4, 5]
    assert len(_written(buckets, result, "SUCCEEDED")) == 2
    assert (map_run.counts["succeeded"], map_run.counts["failed"]) == (6, 3)
    with pytest.raises(StateFailed) as caught:
        _run(buckets, invoke, tolerated=33)
    assert caught.value.error == "States.ExceedToleratedFailureThreshold"


def test_an_arn_of_a_map_run_names_the_state_machine_and_the_label() -> None:
    arn = MapRun(EXECUTION, "Images").arn

    assert arn.startswith("arn:aws:states:us-east-1:123456789012:mapRun:machine/Images:")


@pytest.mark.parametrize(
    "changes",
    [
        {"ItemReader": {"Resource": "", "Parameters": {}, "ReaderConfig": {}}},
        {"ItemBatcher": {"MaxItemsPerBatch": 5}},
        {"ResultWriter": {"Resource": "", "Parameters": {}, "WriterConfig": {"Transformation": "FLATTEN"}}},
        {"ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}}},
    ],
)
def test_what_it_does_not_know_of_a_map_it_refuses(changes: dict[str, Any]) -> None:
    with pytest.raises(UnknownLanguageError):
        check_map(_state(**changes))
