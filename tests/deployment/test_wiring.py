"""The template, deployed into moto and walked over: whole as it is, and what is taken away is missed."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from moto import mock_aws
from tests.deployment.wiring import TASKS, find_faults

from local.clients import Clients
from local.template import Template, read_template

KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-1111-2222-3333-444455556666"
# Every condition of the template holds in one of them and does not in another.
DEPLOYMENTS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "with everything": {
        "Auth": "JWT",
        "JwtIssuer": "https://issuer.example.org",
        "JwtAudience": "vision",
        "KmsKeyArn": KEY,
        "ModelsBucket": "our-models",
        "AllowedBuckets": "photos-one,photos-two",
        "AllowedOrigins": "https://example.org",
        "SubnetIds": "subnet-0a,subnet-0b",
        "SecurityGroupIds": "sg-0a",
        "Tracing": "true",
        "SnapStart": "true",
        "Deployment": "Canary10Percent5Minutes",
        "ClassificationReservedConcurrency": "5",
        "SegmentationTimeoutSeconds": "120",
        "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:ops",
    },
    "kept warm": {
        "Auth": "IAM",
        "AllowedOrigins": "https://example.org,https://example.com",
        "ClassificationProvisionedConcurrency": "2",
        "EphemeralStorageMb": "1024",
        "AlarmEmail": "ops@example.org",
        "Dashboard": "false",
    },
    "bare": {"Auth": "NONE", "Alarms": "false", "Dashboard": "false"},
}


@pytest.fixture(autouse=True)
def quick_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto parses the template with YAML's slow loader, half a second each time; the other reads the same."""
    monkeypatch.setattr(yaml, "Loader", getattr(yaml, "CLoader", yaml.Loader))


def faults_of(template: Template, clients: Clients) -> list[str]:
    with mock_aws():
        return find_faults(template, clients)


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_deployed_template_is_wired_through(deployment: str, clients: Clients) -> None:
    assert faults_of(read_template(parameters=DEPLOYMENTS[deployment]), clients) == []


# ---- what the walk would miss if it were not there
CHANGED = {**DEPLOYMENTS["with everything"], "Auth": "API_KEY"}
WHOLE = read_template(parameters=CHANGED)
EVERY: dict[str, dict[str, Any]] = WHOLE.cloudformation["Resources"]
Change = Callable[[dict[str, dict[str, Any]]], None]


def named(*kinds: str) -> list[str]:
    return list(WHOLE.resources(*kinds))


def changed(change: Change) -> Template:
    cloudformation = copy.deepcopy(WHOLE.cloudformation)
    change(cloudformation["Resources"])
    return Template(cloudformation, WHOLE.code, WHOLE.parameters)


def documents(resources: dict[str, dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The policy documents of a role or of a managed policy."""
    properties = resources[name]["Properties"]
    return [
        *([properties["PolicyDocument"]] if "PolicyDocument" in properties else []),
        *(policy["PolicyDocument"] for policy in properties.get("Policies", [])),
    ]


def statements(resources: dict[str, dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The statements that allow something, those under a condition too."""
    every = [s for document in documents(resources, name) for s in document["Statement"]]
    plain = [s["Fn::If"][1] if "Fn::If" in s else s for s in every]
    return [s for s in plain if s["Effect"] == "Allow"]


def actions(statement: dict[str, Any]) -> list[str]:
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


PERMISSIONS = [
    (name, number, action)
    for name in named("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
    for number, statement in enumerate(statements(EVERY, name))
    for action in actions(statement)
]
ROUTES = [(name, EVERY[name]["Properties"]["RouteKey"]) for name in named("AWS::ApiGatewayV2::Route")]
VARIABLES = [
    (function, variable)
    for function, each in WHOLE.resources("AWS::Lambda::Function").items()
    for variable in each["Properties"]["Environment"]["Variables"]
    if variable.startswith("VISION_")
    # A global, which these two do not read.
    and (function, variable)
    not in {("AuthorizerFunction", "VISION_AUTH"), ("NoticesFunction", "VISION_AUTH")}
]


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "number", "action"), PERMISSIONS)
def test_a_permission_that_is_taken_away_is_missed(
    policy: str, number: int, action: str, clients: Clients
) -> None:
    def change(resources: dict[str, dict[str, Any]]) -> None:
        resource = statements(EVERY, policy)[number]["Resource"]
        # Of every statement: two may allow the same, such as the use of the key for photos and for models.
        for each in {name for name, _, _ in PERMISSIONS}:
            for statement in statements(resources, each):
                if statement["Resource"] == resource:
                    left = [one for one in actions(statement) if one != action]
                    statement["Action"] = left or ["none:Left"]

    faults = faults_of(changed(change), clients)

    assert [fault for fault in faults if f" may not {action} on " in fault]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key"), ROUTES)
def test_a_route_that_is_taken_away_is_missed(name: str, key: str, clients: Clients) -> None:
    method, _, path = key.rpartition(" ")
    expected = f"ANY {path} has no preflight" if method == "OPTIONS" else f"{path} leads to None"

    faults = faults_of(changed(without(name)), clients)

    assert [fault for fault in faults if fault.startswith(expected)]


@pytest.mark.slow
@pytest.mark.parametrize(("function", "variable"), VARIABLES)
def test_a_variable_that_is_taken_away_is_missed(function: str, variable: str, clients: Clients) -> None:
    def change(resources: dict[str, dict[str, Any]]) -> None:
        del resources[function]["Properties"]["Environment"]["Variables"][variable]

    faults = faults_of(changed(change), clients)

    assert f"{function}: {variable} is None" in faults


@pytest.mark.slow
@pytest.mark.parametrize("name", named("AWS::CloudWatch::Alarm"))
def test_an_alarm_that_is_taken_away_is_missed(name: str, clients: Clients) -> None:
    faults = faults_of(changed(without(name)), clients)

    # A deployment is turned back by the alarms for errors, so they are missed there first.
    assert [fault for fault in faults if fault.startswith("nobody watches") or f"refers to {name}," in fault]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_trigger_that_is_taken_away_is_missed(task: str, clients: Clients) -> None:
    def change(resources: dict[str, dict[str, Any]]) -> None:
        told = resources["InputBucket"]["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
        told[:] = [each for each in told if each["Queue"]["Fn::GetAtt"][0] != f"{task}Queue"]

    faults = faults_of(changed(change), clients)

    assert f"uploads/{task.lower()}/ does not lead to {task}Queue" in faults


def without(*path: str | int) -> Change:
    """Takes away what a path through the resources leads to."""

    def change(resources: dict[str, Any]) -> None:
        part: Any = resources
        for step in path[:-1]:
            part = part[step]
        del part[path[-1]]

    return change


def setting(value: Any, *path: str | int) -> Change:
    """Sets what a path through the resources leads to."""

    def change(resources: dict[str, Any]) -> None:
        part: Any = resources
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = value

    return change


OTHERS: dict[str, tuple[Change, str]] = {
    "event source": (without("DetectionUploads"), "DetectionQueue leads to no function"),
    "event source of another task": (
        setting({"Fn::GetAtt": ["JobsFunction", "Arn"]}, "DetectionUploads", "Properties", "FunctionName"),
        "DetectionQueue leads to no function",
    ),
    "partial failures": (
        without("DetectionUploads", "Properties", "FunctionResponseTypes"),
        "DetectionFunction does not report which messages failed",
    ),
    "redrive": (
        without("DetectionQueue", "Properties", "RedrivePolicy"),
        "DetectionQueue has no dead-letter queue",
    ),
    "redrive allowance": (
        without("DetectionDeadLetters", "Properties", "RedriveAllowPolicy"),
        "DetectionDeadLetters takes from other queues",
    ),
    "dead-letter queue": (without("DetectionDeadLetters"), "DetectionQueue refers to DetectionDeadLetters"),
    "visibility": (
        setting(90, "DetectionQueue", "Properties", "VisibilityTimeout"),
        "DetectionQueue shows a message again while it is worked on",
    ),
    "queue policy": (without("DetectionQueuePolicy"), "the input bucket may not send to DetectionQueue"),
    "integration": (without("JobsIntegration"), "JobsRoute refers to JobsIntegration, which is not there"),
    "route to another function": (
        setting({"Fn::Sub": "integrations/${PortalIntegration}"}, "JobRoute", "Properties", "Target"),
        "/v1/jobs/{id} leads to PortalFunction, not to JobsFunction",
    ),
    "preflight that asks for a caller": (
        setting("CUSTOM", "JobsPreflight", "Properties", "AuthorizationType"),
        "the preflight of ANY /v1/jobs asks for a caller",
    ),
    "leave to call": (without("JobsPermission"), "API Gateway may not call JobsFunction"),
    "leave to call the authorizer": (
        without("AuthorizerPermission"),
        "API Gateway may not call AuthorizerFunction",
    ),
    "access log": (without("HttpStage", "Properties", "AccessLogSettings"), "writes no access log"),
    "throttling of explanations": (
        without("HttpStage", "Properties", "RouteSettings"),
        "ANY /v1/explain has no limit of its own",
    ),
    "order of stage and route": (
        without("HttpStage", "DependsOn"),
        "HttpStage may be made before ANY /v1/explain, which it names",
    ),
    "throttling": (
        setting({}, "HttpStage", "Properties", "DefaultRouteSettings"),
        "HttpStage is not throttled",
    ),
    "variable of another resource": (
        setting(
            {"Ref": "ResultsBucket"},
            *("JobsFunction", "Properties", "Environment", "Variables", "VISION_INPUT_BUCKET"),
        ),
        "JobsFunction: VISION_INPUT_BUCKET is vision-results",
    ),
    "handler": (setting("app.main", "JobsFunction", "Properties", "Handler"), "JobsFunction has no handler"),
    "log retention": (without("LogGroup", "Properties", "RetentionInDays"), "JobsFunction logs without end"),
    "role": (without("JobsRole"), "JobsFunction refers to JobsRole, which is not there"),
    "public access": (
        setting(False, "InputBucket", "Properties", "PublicAccessBlockConfiguration", "BlockPublicPolicy"),
        "InputBucket can be made public",
    ),
    "TLS of a bucket": (without("ResultsBucketPolicy"), "ResultsBucket is open to plain HTTP or old TLS"),
    "TLS of a queue": (without("NoticeDeadLettersPolicy"), "NoticeDeadLetters is open to plain HTTP"),
    "encryption": (
        without("ResultsBucket", "Properties", "BucketEncryption"),
        "ResultsBucket is not encrypted",
    ),
    "headers of other origins": (
        setting(
            ["content-type", "x-api-key"],
            *("HttpApi", "Properties", "CorsConfiguration", "Fn::If", 1, "AllowHeaders"),
        ),
        "web pages may not send idempotency-key",
    ),
    "forms of other origins": (
        without("InputBucket", "Properties", "CorsConfiguration", "CorsRules", 1),
        "InputBucket is open to other web pages than the service, or to fewer",
    ),
    "forms of the page": (
        without("InputBucket", "Properties", "CorsConfiguration", "CorsRules", 0),
        "InputBucket is open to other web pages than the service, or to fewer",
    ),
    "large answers to the page": (
        without("ResultsBucket", "Properties", "CorsConfiguration", "CorsRules", 0),
        "ResultsBucket is open to other web pages than the service, or to fewer",
    ),
    "reason of failures": (
        setting([], "DetectionFailuresAlarm", "Properties", "Metrics"),
        "nobody watches ('Failures', 'unavailable, detection')",
    ),
    "lifecycle": (
        without("ResultsBucket", "Properties", "LifecycleConfiguration"),
        "ResultsBucket keeps everything",
    ),
    "versions": (without("InputBucket", "Properties", "VersioningConfiguration"), "InputBucket forgets"),
    "time to live": (
        without("JobsTable", "Properties", "TimeToLiveSpecification"),
        "JobsTable keeps everything",
    ),
    "recovery": (
        without("JobsTable", "Properties", "PointInTimeRecoverySpecification"),
        "JobsTable cannot be restored",
    ),
    "alarm of nothing": (
        setting("Mistakes", "DetectionErrorsAlarm", "Properties", "MetricName"),
        "DetectionErrorsAlarm watches nothing",
    ),
    "alarm unheard": (
        without("DetectionErrorsAlarm", "Properties", "AlarmActions"),
        "DetectionErrorsAlarm tells nobody",
    ),
    "notices": (without("JobEnds"), "nobody tells of the ends of jobs"),
    "dead letters of notices": (
        without("JobEnds", "Properties", "DestinationConfig"),
        "notices that cannot be sent are lost",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", OTHERS)
def test_what_is_taken_away_or_set_wrong_is_missed(what: str, clients: Clients) -> None:
    change, expected = OTHERS[what]

    faults = faults_of(changed(change), clients)

    assert [fault for fault in faults if expected in fault], faults


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:*", {"Fn::Sub": "${InputBucket.Arn}/*"}),
        ("dynamodb:*", {"Fn::GetAtt": ["JobsTable", "Arn"]}),
        ("s3:GetObject", "*"),
    ],
)
def test_a_permission_too_much_is_found(action: str, resource: Any, clients: Clients) -> None:
    extra = {"Effect": "Allow", "Action": action, "Resource": resource}
    policy = {"PolicyName": "TooMuch", "PolicyDocument": {"Version": "2012-10-17", "Statement": [extra]}}

    faults = faults_of(changed(setting([policy], "PortalRole", "Properties", "Policies")), clients)

    assert [fault for fault in faults if fault.startswith("PortalRole may ")]
