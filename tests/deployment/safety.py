"""Whether what a template keeps is closed and forgotten in time, and whether alarms watch what is there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.deployment.deployed import Deployed

from local.template import REGION
from vision import errors

TASKS = ("Classification", "Detection", "Segmentation", "Transform", "Explain")
# What answers, by the name that its metrics have.
SERVICES = {**{task: task.lower() for task in TASKS}, "OpenInference": "open-inference"}
_TLS = {'{"Bool": {"aws:SecureTransport": "false"}}', '{"NumericLessThan": {"s3:TlsVersion": "1.2"}}'}
# Metrics as AWS documents them, with the dimension that they have; the last are telemetry.py's.
_METRICS = {
    *(("AWS/Lambda", name, "FunctionName") for name in ("Errors", "Throttles", "Duration")),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
    ("AWS/ApiGateway", "5xx", "ApiId"),
    ("AWS/States", "ExecutionsFailed", "StateMachineArn"),
    ("Vision", "Latency", "service"),
    ("Vision", "Failures", "reason, service"),
}


def buckets(it: Deployed) -> Iterator[str]:
    """Buckets are private, encrypted, reached by TLS alone, and forget."""
    closed = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    for name, bucket in it.resources("AWS::S3::Bucket").items():
        if {
            key for key, value in bucket.get("PublicAccessBlockConfiguration", {}).items() if value
        } != closed:
            yield f"{name} can be made public"
        rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        if not any("Expiration" in str(rule) for rule in rules):
            yield f"{name} keeps everything"
        if not _denials(it, it.stack.names[name]) >= _TLS:
            yield f"{name} is open to plain HTTP or old TLS"
        (rule,) = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [{}])
        key = rule.get("ServerSideEncryptionByDefault", {}).get("KMSMasterKeyID", "")
        if not rule or key != it.template.parameters["KmsKeyArn"]:
            yield f"{name} is not encrypted with {it.template.parameters['KmsKeyArn'] or 'a key of S3'}"
        rules = bucket.get("CorsConfiguration", {}).get("CorsRules", [])
        own, allowed = (
            f"https://HttpApi.execute-api.{REGION}.amazonaws.com",
            it.template.parameters["AllowedOrigins"],
        )
        if [origin for rule in rules for origin in rule["AllowedOrigins"]] != [
            own,
            *filter(None, allowed.split(",")),
        ]:
            yield f"{name} is open to other web pages than the service, or to fewer"
    if it.of["InputBucket"].get("VersioningConfiguration") != {"Status": "Enabled"}:
        yield "InputBucket forgets the version that a job was made for"


def _denials(it: Deployed, bucket: str) -> set[str]:
    """The conditions under which a bucket's policy denies everything to everybody."""
    return {
        json.dumps(statement["Condition"])
        for policy in it.resources("AWS::S3::BucketPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if policy["Bucket"] == bucket
        and (statement["Effect"], statement["Action"], statement["Principal"]) == ("Deny", "s3:*", "*")
    }


def queues_and_table(it: Deployed) -> Iterator[str]:
    """Queues are reached by TLS alone; the table forgets, and can be restored."""
    for name in it.resources("AWS::SQS::Queue"):
        policy = it.queue_attribute(name, "Policy")
        if '"aws:SecureTransport": "false"' not in policy or it.ids[name] not in policy:
            yield f"{name} is open to plain HTTP"
    table = it.of["JobsTable"]
    if not table.get("TimeToLiveSpecification", {}).get("Enabled"):
        yield "JobsTable keeps everything"
    if not table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled"):
        yield "JobsTable cannot be restored"


def alarms(it: Deployed) -> Iterator[str]:
    """Every alarm watches a metric of something that is there; what must be watched is."""
    if it.template.parameters["Alarms"] != "true":
        return
    services = {f.environment.get("POWERTOOLS_SERVICE_NAME", "") for f in it.stack.functions.values()}
    there = {
        *it.stack.functions,
        *services,
        *(it.ids[name].rpartition(":")[2] for name in it.resources("AWS::SQS::Queue")),
        *(it.ids[name] for name in it.resources("AWS::StepFunctions::StateMachine")),
        *_own_faults(),
        "HttpApi",
    }
    watched = set()
    topics = bool(it.template.parameters["AlarmTopicArn"] or it.template.parameters["AlarmEmail"])
    for name, alarm in it.resources("AWS::CloudWatch::Alarm").items():
        for each in _metrics(alarm):
            metric = (each["Namespace"], each["MetricName"], ", ".join(d["Name"] for d in each["Dimensions"]))
            values = [dimension["Value"] for dimension in each["Dimensions"]]
            if metric not in _METRICS or not there >= set(values):
                yield f"{name} watches nothing: {metric} of {', '.join(values)}"
            watched.add((each["MetricName"], ", ".join(values)))
        if bool(alarm.get("AlarmActions")) != topics:
            yield f"{name} tells nobody"
    yield from (f"nobody watches {each}" for each in _to_watch(it) - watched)


def _metrics(alarm: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The metrics of an alarm: its own, or those that its expression is over."""
    if "Metrics" not in alarm:
        yield alarm
    for each in alarm.get("Metrics", ()):
        if "MetricStat" in each:
            yield each["MetricStat"]["Metric"]


def _own_faults() -> set[str]:
    """The reasons of failures that are no caller's fault: those with a status from 500 on."""
    every = {each for each in vars(errors).values() if isinstance(each, type)}
    return {each.kind for each in every if issubclass(each, errors.VisionError) and each.status >= 500}


def _to_watch(it: Deployed) -> set[tuple[str, str]]:
    queue = {name: it.ids[name].rpartition(":")[2] for name in it.resources("AWS::SQS::Queue")}
    return {
        *((metric, f"{name}Function") for name in SERVICES for metric in ("Errors", "Throttles")),
        *(("Latency", service) for service in SERVICES.values()),
        *(("Failures", f"{reason}, {each}") for each in SERVICES.values() for reason in _own_faults()),
        *(("ApproximateAgeOfOldestMessage", queue[f"{task}Queue"]) for task in TASKS),
        *(
            ("ApproximateNumberOfMessagesVisible", queue[name])
            for name in queue
            if name.endswith("DeadLetters")
        ),
        ("5xx", "HttpApi"),
        *(("ExecutionsFailed", it.ids[name]) for name in it.resources("AWS::StepFunctions::StateMachine")),
    }
