"""What template.yaml makes, seen in moto: buckets, queues, the table, and how they are wired."""

import json
from typing import Any
from urllib.parse import unquote_plus

import pytest

from local.clients import Clients
from local.stack import Stack, Trigger
from local.template import Template

TASKS = ("classification", "detection", "segmentation", "transform", "explain")
NAMES = {"VISION_INPUT_BUCKET", "VISION_RESULTS_BUCKET", "VISION_JOBS_TABLE"}


def trigger_of(stack: Stack, task: str) -> Trigger:
    (trigger,) = [t for t in stack.triggers if t.function == f"{task.capitalize()}Function"]
    return trigger


def receive_events(clients: Clients, queue_url: str) -> list[dict[str, Any]]:
    """Empties a queue and gives the bodies of its messages, but for S3's test events."""
    events = []
    while messages := clients.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            clients.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            events.append(json.loads(message["Body"]))
    return [event for event in events if "Records" in event]


@pytest.mark.parametrize("task", TASKS)
def test_an_upload_reaches_the_queue_of_its_task_and_no_other(
    stack: Stack, clients: Clients, task: str
) -> None:
    key = f"uploads/{task}/cat.jpg"

    clients.s3.put_object(Bucket=stack.names["InputBucket"], Key=key, Body=b"jpeg")

    received = {t.function: receive_events(clients, t.queue_url) for t in stack.triggers}
    assert [
        event["Records"][0]["s3"]["object"]["key"] for event in received.pop(f"{task.capitalize()}Function")
    ] == [key.replace("/", "%2F")]
    assert not any(received.values())


def test_a_key_with_space_plus_and_umlaut_arrives_encoded_like_a_form_field(
    stack: Stack, clients: Clients
) -> None:
    key = "uploads/detection/a b+ü.jpg"

    clients.s3.put_object(Bucket=stack.names["InputBucket"], Key=key, Body=b"jpeg")

    (event,) = receive_events(clients, trigger_of(stack, "detection").queue_url)
    encoded = event["Records"][0]["s3"]["object"]["key"]
    assert encoded.endswith("a+b%2B%C3%BC.jpg")
    assert unquote_plus(encoded) == key


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("InputBucket", "detection/cat.jpg"),
        ("InputBucket", "uploads/cat.jpg"),
        ("InputBucket", "uploads/detections/cat.jpg"),
        ("ResultsBucket", "uploads/detection/cat.jpg"),
    ],
)
def test_what_is_put_elsewhere_starts_nothing(stack: Stack, clients: Clients, bucket: str, key: str) -> None:
    clients.s3.put_object(Bucket=stack.names[bucket], Key=key, Body=b"jpeg")

    assert not any(receive_events(clients, trigger.queue_url) for trigger in stack.triggers)


@pytest.mark.parametrize("task", TASKS)
def test_a_message_that_fails_too_often_goes_to_the_dead_letters_of_its_task(
    stack: Stack, clients: Clients, task: str
) -> None:
    trigger = trigger_of(stack, task)
    clients.sqs.send_message(QueueUrl=trigger.queue_url, MessageBody="poison")

    tries = 0
    while clients.sqs.receive_message(QueueUrl=trigger.queue_url, VisibilityTimeout=0).get("Messages"):
        tries += 1

    dead = clients.sqs.receive_message(QueueUrl=stack.names[f"{task.capitalize()}DeadLetters"])["Messages"]
    assert tries == trigger.max_receives == 5
    assert [message["Body"] for message in dead] == ["poison"]


@pytest.mark.parametrize("task", TASKS)
def test_a_message_stays_invisible_for_six_times_the_functions_timeout(
    stack: Stack, clients: Clients, task: str
) -> None:
    trigger = trigger_of(stack, task)

    attributes = clients.sqs.get_queue_attributes(
        QueueUrl=trigger.queue_url, AttributeNames=["VisibilityTimeout"]
    )["Attributes"]

    assert int(attributes["VisibilityTimeout"]) == 6 * stack.functions[trigger.function].timeout_s


@pytest.mark.parametrize("task", TASKS)
def test_only_the_input_bucket_of_this_account_may_send_to_a_queue(
    stack: Stack, clients: Clients, task: str
) -> None:
    trigger = trigger_of(stack, task)

    attributes = clients.sqs.get_queue_attributes(QueueUrl=trigger.queue_url, AttributeNames=["Policy"])
    statement, tls_only = json.loads(attributes["Attributes"]["Policy"])["Statement"]

    assert (tls_only["Effect"], tls_only["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Resource"] == trigger.queue_arn
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{stack.names['InputBucket']}"},
    }


def test_batches_are_small_and_report_which_messages_failed(stack: Stack) -> None:
    assert {trigger.function for trigger in stack.triggers} == {
        f"{task.capitalize()}Function" for task in TASKS
    }
    assert all(trigger.reports_failures and trigger.batch_size <= 4 for trigger in stack.triggers)


@pytest.mark.parametrize("bucket", ["InputBucket", "ResultsBucket"])
def test_a_bucket_is_private_and_encrypted(stack: Stack, clients: Clients, bucket: str) -> None:
    name = stack.names[bucket]

    access = clients.s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    encryption = clients.s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]

    assert len(access) == 4
    assert all(access.values())
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_the_input_bucket_keeps_the_version_that_a_job_was_made_for(stack: Stack, clients: Clients) -> None:
    assert clients.s3.get_bucket_versioning(Bucket=stack.names["InputBucket"])["Status"] == "Enabled"


def test_the_jobs_table_is_keyed_by_id_and_forgets_rows_by_expires_at(stack: Stack, clients: Clients) -> None:
    table = clients.dynamodb.describe_table(TableName=stack.names["JobsTable"])["Table"]
    ttl = clients.dynamodb.describe_time_to_live(TableName=stack.names["JobsTable"])["TimeToLiveDescription"]

    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [{"AttributeName": "id", "AttributeType": "S"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires_at")


@pytest.mark.parametrize(
    "name", ["ClassificationFunction", "DetectionFunction", "SegmentationFunction", "JobsFunction"]
)
def test_the_environment_of_a_function_names_resources_that_exist(
    stack: Stack, clients: Clients, name: str
) -> None:
    function = stack.functions[name]

    assert function.resource_variables == NAMES | (
        {"VISION_STATE_MACHINE"} if name == "JobsFunction" else set()
    )
    clients.s3.head_bucket(Bucket=function.environment["VISION_INPUT_BUCKET"])
    clients.s3.head_bucket(Bucket=function.environment["VISION_RESULTS_BUCKET"])
    clients.dynamodb.describe_table(TableName=function.environment["VISION_JOBS_TABLE"])
    assert function.environment["VISION_INPUT_BUCKET"] != function.environment["VISION_RESULTS_BUCKET"]


def test_the_portal_knows_of_no_bucket_and_no_table(stack: Stack) -> None:
    assert not NAMES & stack.functions["PortalFunction"].environment.keys()


def test_every_route_and_every_queue_has_a_function(stack: Stack, template: Template) -> None:
    # The authorizer answers no route of its own, and notices come from the table.
    apart = {"AuthorizerFunction", "NoticesFunction"}
    assert {route.function for route in stack.routes} == stack.functions.keys() - apart
    assert {trigger.function for trigger in stack.triggers} <= stack.functions.keys()
    assert stack.functions.keys() == template.code.keys()
