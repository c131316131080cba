"""The dashboard shows metrics that are there."""

import json
import re
from typing import Any

import pytest
from moto import mock_aws
from tests.deployment.deployed import Deployed

from local.clients import Clients
from local.stack import deploy
from local.template import TEMPLATE, read_template
from vision import telemetry

LIBRARY = TEMPLATE.parent / "layers" / "core" / "vision"
# As AWS documents them.
AWS_METRICS = {
    "AWS/Lambda": {"Errors", "Throttles", "ConcurrentExecutions"},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
    "AWS/ApiGateway": {"Count", "4xx", "5xx"},
    "AWS/States": {"ExecutionsSucceeded", "ExecutionsFailed"},
}


def own_metrics() -> set[str]:
    """The names of metrics that the functions write: those of the code, and a latency for each stage."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in LIBRARY.glob("*.py"))
    stages = {f"{name.capitalize()}Latency" for name in re.findall(r'\.stage\("(\w+)"\)', sources)}
    return {*re.findall(r'(?:add_metric|single_metric)\(\s*"(\w+)"', sources), *stages, "ColdStart"}


def test_every_metric_of_the_dashboard_is_of_something_that_is_there(clients: Clients) -> None:
    with mock_aws():
        template = read_template()
        it = Deployed(template, deploy(template, clients), clients)
        body: dict[str, Any] = json.loads(it.of["ServiceDashboard"]["DashboardBody"])
        queues = {it.ids[name].rpartition(":")[2] for name in it.resources("AWS::SQS::Queue")}
    services = {f.environment.get("POWERTOOLS_SERVICE_NAME") for f in it.stack.functions.values()}
    there = {*it.stack.functions, *services, *queues, it.ids["BatchStateMachine"], "HttpApi"}

    metrics = [metric for widget in body["widgets"] for metric in widget["properties"]["metrics"]]
    plain = [metric for metric in metrics if len(metric) > 1]
    searched = [
        re.findall(r'MetricName="(\w+)"', metric[0]["expression"])[0]
        for metric in metrics
        if len(metric) == 1
    ]

    assert len(plain) >= 30
    for namespace, name, _dimension, value, _options in plain:
        assert name in AWS_METRICS.get(namespace, own_metrics()), (namespace, name)
        assert value in there, value
    assert set(searched) == {"Failures", "ColdStart", "Requests"} <= own_metrics()


def test_what_is_searched_for_has_the_dimensions_that_a_function_writes(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with mock_aws():
        body: str = deploy(read_template(), clients).resolved["ServiceDashboard"]["DashboardBody"]
    schemas = dict(
        (name, set(dimensions.split(",")))
        for dimensions, name in re.findall(r"SEARCH\('\{Vision,([\w,]+)\} MetricName=\\\"(\w+)", body)
    )
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "detection")  # as every function of the template has it

    telemetry.count_failure("unavailable")
    telemetry.name_caller("key:ana", "ana")
    telemetry.logger.remove_keys(["caller"])

    written = [
        json.loads(line)["_aws"]["CloudWatchMetrics"][0] for line in capsys.readouterr().out.splitlines()
    ]
    assert [each["Metrics"][0]["Name"] for each in written] == ["Failures", "Requests"]
    for each in written:
        assert [schemas[each["Metrics"][0]["Name"]]] == [set(names) for names in each["Dimensions"]]


def test_no_two_widgets_of_the_dashboard_lie_on_each_other(clients: Clients) -> None:
    with mock_aws():
        resolved = deploy(read_template(), clients).resolved
    cells = [
        (x, y)
        for widget in json.loads(resolved["ServiceDashboard"]["DashboardBody"])["widgets"]
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24  # CloudWatch's grid
