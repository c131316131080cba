"""Notices of ended jobs: from rows that Claims wrote, through the stream, to a rule on the bus, in moto."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto.events.models import EventPattern

from local.template import read_template
from vision.aws import Table
from vision.claims import Claims
from vision.notices import send_notices
from vision.request import S3Object
from vision.settings import Settings

NOW = datetime(2026, 11, 23, 17, 25, 16, tzinfo=UTC)
PROBLEM = {"type": "urn:vision:problem:bad-image", "title": "Bad Image", "status": 400, "detail": "no image"}


class FailingBus:
    """Refuses some events by their place, counted over all calls."""

    def __init__(self, refused: set[int]) -> None:
        self.entries: list[Any] = []
        self._refused = refused

    def put_events(self, *, Entries: Sequence[Any]) -> Any:  # noqa: N803
        places = range(len(self.entries), len(self.entries) + len(Entries))
        self.entries += Entries
        return {"Entries": [{"ErrorCode": "Throttled"} if place in self._refused else {} for place in places]}


def stream_event(table: str) -> dict[str, Any]:
    """What Lambda would deliver of a table's stream, but for the filter of the trigger."""
    dynamodb = boto3.client("dynamodb")
    # moto knows the older of two names.
    address = f"https://streams.dynamodb.{dynamodb.meta.region_name}.amazonaws.com"
    streams = boto3.client("dynamodbstreams", endpoint_url=address)
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = streams.get_records(ShardIterator=iterator)["Records"]
    event = {"Records": [{**record, "eventSourceARN": arn} for record in records]}
    delivered: dict[str, Any] = json.loads(json.dumps(event, default=str))  # times are parsed by boto3
    return delivered


def filtered(event: dict[str, Any]) -> dict[str, Any]:
    """The event as the trigger in template.yaml lets it through, by moto's reading of patterns."""
    mapping = read_template().cloudformation["Resources"]["JobEnds"]["Properties"]
    (pattern,) = mapping["FilterCriteria"]["Filters"]
    lets_through = EventPattern.load(pattern["Pattern"]).matches_event
    return {"Records": [record for record in event["Records"] if lets_through(record)]}


@pytest.fixture
def jobs(deployment: Settings) -> Claims:
    """Claims on a table with a stream."""
    boto3.client("dynamodb").update_table(
        TableName="jobs", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    )
    return Claims(deployment, Table("jobs"))


@pytest.fixture
def inbox(deployment: Settings) -> str:
    """A queue with the events that a rule on the default bus takes."""
    sqs, events = boto3.client("sqs"), boto3.client("events")
    url = sqs.create_queue(QueueName="notices")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="ended", EventPattern=json.dumps({"source": ["vision"]}))
    events.put_targets(Rule="ended", Targets=[{"Id": "queue", "Arn": arn}])
    return url


def received(url: str) -> list[dict[str, Any]]:
    messages = boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in messages]


def end_job(jobs: Claims, key: str, *, well: bool) -> None:
    job = jobs.begin(S3Object("inbox", key, etag="e"), "detection", lambda *_: "yolox", now=NOW, seconds=30)
    assert job
    if well:
        jobs.succeed(job, S3Object("outbox", f"results/detection/{key}.json", etag="f"), NOW)
    else:
        jobs.fail(job, PROBLEM, NOW)


def test_a_job_that_ended_is_on_the_bus_with_where_its_result_lies(jobs: Claims, inbox: str) -> None:
    end_job(jobs, "a.jpg", well=True)

    answer = send_notices(filtered(stream_event("jobs")), boto3.client("events"))

    assert answer == {"batchItemFailures": []}
    (notice,) = received(inbox)
    assert (notice["source"], notice["detail-type"]) == ("vision", "Job succeeded")
    assert notice["resources"][0].endswith(":table/jobs")
    assert notice["detail"].pop("id")
    assert notice["detail"] == {
        "status": "succeeded",
        "task": "detection",
        "model": "yolox",
        "input": {"bucket": "inbox", "key": "a.jpg"},
        "created_at": "2026-11-23T17:25:16.000Z",
        "finished_at": "2026-11-23T17:25:16.000Z",
        "result_location": {"bucket": "outbox", "key": "results/detection/a.jpg.json"},
    }


def test_a_job_that_failed_is_on_the_bus_with_its_problem(jobs: Claims, inbox: str) -> None:
    end_job(jobs, "b.txt", well=False)

    send_notices(filtered(stream_event("jobs")), boto3.client("events"))

    (notice,) = received(inbox)
    assert (notice["detail-type"], notice["detail"]["problem"]) == ("Job failed", PROBLEM)
    assert "result_location" not in notice["detail"]


def test_the_trigger_lets_through_the_ends_of_jobs_alone(jobs: Claims) -> None:
    end_job(jobs, "a.jpg", well=True)
    end_job(jobs, "b.txt", well=False)
    boto3.resource("dynamodb").Table("jobs").update_item(Key={"id": "queued"}, AttributeUpdates={})
    before = stream_event("jobs")
    for row in boto3.resource("dynamodb").Table("jobs").scan()["Items"]:
        boto3.resource("dynamodb").Table("jobs").delete_item(Key={"id": row["id"]})

    assert len(before["Records"]) > 2  # claims are changes too
    assert len(filtered(stream_event("jobs"))["Records"]) == 2


def test_what_passes_the_filter_by_mistake_is_no_notice(jobs: Claims) -> None:
    jobs.begin(S3Object("inbox", "a.jpg", etag="e"), "detection", lambda *_: "yolox", now=NOW, seconds=30)
    bus = FailingBus(set())

    assert send_notices(stream_event("jobs"), bus) == {"batchItemFailures": []}
    assert bus.entries == []


def test_from_the_event_that_was_refused_on_lambda_delivers_again(jobs: Claims) -> None:
    for number in range(25):
        end_job(jobs, f"{number:02}.jpg", well=True)
    event = filtered(stream_event("jobs"))
    bus = FailingBus({13, 17})

    answer = send_notices(event, bus)

    refused = event["Records"][13]["dynamodb"]["SequenceNumber"]
    assert answer == {"batchItemFailures": [{"itemIdentifier": refused}]}
    assert len(bus.entries) == 20  # the third call is not made
