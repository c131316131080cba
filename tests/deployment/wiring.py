"""A walk over a deployed template: whether everything leads where it should, and may."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError
from tests.contract.test_template import PATHS
from tests.deployment.deployed import Deployed
from tests.deployment.permissions import allows, forbidden, needs
from tests.deployment.safety import alarms, buckets, queues_and_table

from local.clients import Clients
from local.resolution import function_of
from local.stack import deploy
from local.template import ACCOUNT, REGION, Template

TASKS = ("Classification", "Detection", "Segmentation", "Transform", "Explain")
_IN_SUB = re.compile(r"\$\{([\w:]+)(?:\.[\w.]+)?\}")
# What the code of a function reads, other than what has a default that is right on Lambda.
_STORES = {"VISION_INPUT_BUCKET", "VISION_RESULTS_BUCKET", "VISION_JOBS_TABLE", "VISION_JOB_TTL_DAYS"}
_INFERENCE = {*_STORES, "VISION_AUTH", "VISION_ALLOWED_BUCKETS", "VISION_MAX_RECEIVES"}
VARIABLES = {
    **{f"{task}Function": _INFERENCE for task in TASKS},
    "TransformFunction": {*_INFERENCE, "VISION_PRESETS"},
    "JobsFunction": {*_STORES, "VISION_AUTH", "VISION_STATE_MACHINE"},
    "OpenInferenceFunction": {"VISION_AUTH"},
    "PortalFunction": {"VISION_AUTH", "VISION_BUCKET_ORIGINS"},
    "AuthorizerFunction": {"VISION_KEYS_SECRET", "VISION_AUTHORIZER_CACHE_S"},
    "NoticesFunction": set[str](),
}
# Headers by which a caller is known.
_CREDENTIALS = {
    "API_KEY": {"authorization", "x-api-key"},
    "JWT": {"authorization"},
    "IAM": {"authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"},
    "NONE": set[str](),
}
# The resource that a variable must name.
_NAMES = {
    "VISION_INPUT_BUCKET": "InputBucket",
    "VISION_RESULTS_BUCKET": "ResultsBucket",
    "VISION_JOBS_TABLE": "JobsTable",
    "VISION_STATE_MACHINE": "BatchStateMachine",
    "VISION_KEYS_SECRET": "ApiKeys",
}


def find_faults(template: Template, clients: Clients) -> list[str]:
    """Deploys a template into moto, walks over it, and gives what is wrong with it, sorted."""
    if dangling := list(_dangling(template)):
        return dangling
    try:
        it = Deployed(template, deploy(template, clients), clients)
    except ClientError as error:
        return [f"cannot be deployed: {error}"]
    parts = (routes, calls, stage, uploads, functions, roles, buckets, queues_and_table, alarms, notices)
    return sorted({fault for part in parts for fault in part(it)})


def _dangling(template: Template) -> Iterator[str]:
    """References to what the template does not have; CloudFormation would refuse the whole."""
    resources = template.cloudformation["Resources"]
    known = {*resources, *template.parameters}
    for name, resource in resources.items():
        for missing in sorted(
            {each for each in _references(resource) if not each.startswith("AWS::")} - known
        ):
            yield f"{name} refers to {missing}, which is not there"


def _references(part: Any) -> Iterator[str]:
    """Gives the names that a part of a template refers to."""
    match part:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::Sub": [str(text), dict(own)]}:
            yield from set(_IN_SUB.findall(text)) - own.keys()
            yield from _references(own)
        case {"Fn::Sub": str(text)}:
            yield from _IN_SUB.findall(text)
        case dict() | list():
            for each in part.values() if isinstance(part, dict) else part:
                yield from _references(each)


def routes(it: Deployed) -> Iterator[str]:
    """Every path of the HTTP contract leads to its function."""
    routed = {route.path: route.function for route in it.stack.routes if route.method == "ANY"}
    for path, function in PATHS.items():
        if routed.get(path) != function:
            yield f"{path} leads to {routed.get(path)}, not to {function}"
    yield from _preflights(it)


def _preflights(it: Deployed) -> Iterator[str]:
    """Where other origins may call, every protected path answers OPTIONS without an authorizer."""
    declared = {each["RouteKey"]: each for each in it.resources("AWS::ApiGatewayV2::Route").values()}
    for key, route in declared.items():
        if route.get("AuthorizationType", "NONE") == "NONE" or not it.template.parameters["AllowedOrigins"]:
            continue
        preflight = declared.get(key.replace("ANY ", "OPTIONS "))
        if not preflight or preflight["Target"] != route["Target"]:
            yield f"{key} has no preflight"
        elif preflight.get("AuthorizationType", "NONE") != "NONE" or "AuthorizerId" in preflight:
            yield f"the preflight of {key} asks for a caller"
    sent = {"content-encoding", "content-type", "idempotency-key", "inference-header-content-length"}
    sent |= _CREDENTIALS[it.template.parameters["Auth"]]
    if it.template.parameters["AllowedOrigins"]:
        for header in sorted(sent - set(it.of["HttpApi"]["CorsConfiguration"]["AllowHeaders"])):
            yield f"web pages may not send {header}"


def calls(it: Deployed) -> Iterator[str]:
    """API Gateway may call every function of a route, and the authorizer."""
    called = {route.function for route in it.stack.routes} | {
        "AuthorizerFunction"
    } & it.stack.functions.keys()
    targets = {
        function_of(permission["FunctionName"])
        for permission in it.resources("AWS::Lambda::Permission").values()
        if permission["Principal"] == "apigateway.amazonaws.com"
        and permission["SourceArn"].startswith(f"arn:aws:execute-api:{REGION}:{ACCOUNT}:HttpApi/")
    }
    yield from (f"API Gateway may not call {function}" for function in called - targets)


def stage(it: Deployed) -> Iterator[str]:
    """Functions get events of payload 2.0; what is served is logged and throttled."""
    for name, each in it.resources("AWS::ApiGatewayV2::Integration").items():
        if each["PayloadFormatVersion"] != "2.0":
            yield f"{name} has another payload"
    served = it.of["HttpStage"]
    if served.get("AccessLogSettings", {}).get("DestinationArn") != it.ids.get("AccessLogGroup"):
        yield "HttpStage writes no access log"
    if not {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= served["DefaultRouteSettings"].keys():
        yield "HttpStage is not throttled"
    yield from _limits_of_routes(it, served.get("RouteSettings", {}))


def _limits_of_routes(it: Deployed, limits: dict[str, Any]) -> Iterator[str]:
    """A route with a limit of its own is there first, for API Gateway refuses the stage else."""
    if "ANY /v1/explain" not in limits:
        yield "ANY /v1/explain has no limit of its own"
    routes = {each["RouteKey"]: name for name, each in it.resources("AWS::ApiGatewayV2::Route").items()}
    first = it.template.resources("AWS::ApiGatewayV2::Stage")["HttpStage"].get("DependsOn", [])
    for key, given in limits.items():
        if not {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= given.keys():
            yield f"{key} has half a limit: the rest would be the account's"
        if key not in routes or routes[key] not in ([first] if isinstance(first, str) else first):
            yield f"HttpStage may be made before {key}, which it names"


def uploads(it: Deployed) -> Iterator[str]:
    """Every prefix leads to its queue, every queue to its function and its dead letters."""
    bucket = it.stack.names["InputBucket"]
    told = it.clients.s3.get_bucket_notification_configuration(Bucket=bucket)
    queues = {
        json.dumps(each["Filter"]["Key"]["FilterRules"]): each["QueueArn"]
        for each in told.get("QueueConfigurations", [])
    }
    for task in TASKS:
        rule = json.dumps([{"Name": "prefix", "Value": f"uploads/{task.lower()}/"}])
        queue = it.ids.get(f"{task}Queue")
        if not queue or queues.get(rule) != queue:
            yield f"uploads/{task.lower()}/ does not lead to {task}Queue"
            continue
        yield from _sending(it, task, queue)
        yield from _receiving(it, task, queue)


def _sending(it: Deployed, task: str, queue: str) -> Iterator[str]:
    policy = json.loads(it.queue_attribute(f"{task}Queue", "Policy") or '{"Statement": []}')
    context = {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": it.ids["InputBucket"]}
    sends = [s for s in policy["Statement"] if s.get("Principal") == {"Service": "s3.amazonaws.com"}]
    # moto has no say on principals that are services.
    bare = {"Statement": [{k: v for k, v in s.items() if k != "Principal"} for s in sends]}
    if not allows([bare], "sqs:SendMessage", queue, context):
        yield f"the input bucket may not send to {task}Queue"
    if allows([bare], "sqs:SendMessage", queue, {**context, "aws:SourceArn": "arn:aws:s3:::other"}):
        yield f"any bucket may send to {task}Queue"


def _receiving(it: Deployed, task: str, queue: str) -> Iterator[str]:
    function, dead = f"{task}Function", f"{task}DeadLetters"
    triggers = [t for t in it.stack.triggers if t.function == function and t.queue_arn == queue]
    if not triggers:
        yield f"{task}Queue leads to no function"
    elif not triggers[0].reports_failures:
        yield f"{function} does not report which messages failed"
    redrive = json.loads(it.queue_attribute(f"{task}Queue", "RedrivePolicy") or "{}")
    if not redrive or redrive["deadLetterTargetArn"] != it.ids.get(dead):
        yield f"{task}Queue has no dead-letter queue"
    elif it.of[dead].get("RedriveAllowPolicy", {}).get("sourceQueueArns") != [queue]:
        yield f"{dead} takes from other queues"
    if int(it.queue_attribute(f"{task}Queue", "VisibilityTimeout")) < 6 * int(it.of[function]["Timeout"]):
        yield f"{task}Queue shows a message again while it is worked on"


def functions(it: Deployed) -> Iterator[str]:
    """Every function has code, logs into a group that ends, and knows what its code asks for."""
    for name, function in it.stack.functions.items():
        module, _, attribute = function.handler.partition(".")
        source = function.code / f"{module}.py"
        if not source.exists() or f"{attribute} = " not in source.read_text(encoding="utf-8"):
            yield f"{name} has no handler {function.handler}"
        group = it.of[name]["LoggingConfig"]["LogGroup"]
        if "RetentionInDays" not in it.of.get(group, {}):
            yield f"{name} logs without end"
        for variable in VARIABLES[name]:
            value = function.environment.get(variable)
            expected = _expected(it, _NAMES.get(variable, ""))
            if value is None or (expected and value != expected):
                yield f"{name}: {variable} is {value}"
        if ("VISION_MODELS" in function.environment) != (
            bool(it.template.parameters["ModelsBucket"]) and "Models" in str(it.of[name]["Layers"])
        ):
            yield f"{name}: VISION_MODELS is {function.environment.get('VISION_MODELS')}"


def _expected(it: Deployed, resource: str) -> str:
    """What a variable that names a resource must say; empty where it names none."""
    return it.stack.names.get(resource) or it.ids.get(resource, "") if resource else ""


def roles(it: Deployed) -> Iterator[str]:
    """Every role may do what its code does, and nothing that would do harm."""
    roles = it.resources("AWS::IAM::Role")
    used = {it.of[name]["Role"].rpartition("/")[2] for name in it.stack.functions}
    yield from (f"{role} is not there" for role in used - roles.keys())
    for name, role in roles.items():
        policies = [each["PolicyDocument"] for each in role.get("Policies", [])]
        attached = {arn.rpartition("/")[2] for arn in role.get("ManagedPolicyArns", [])}
        for policy, each in it.resources("AWS::IAM::ManagedPolicy").items():
            if policy in attached or name in each.get("Roles", []):
                policies.append(each["PolicyDocument"])
        context = {"s3:prefix": f"{it.template.parameters['ModelsPrefix']}/"}
        for action, resource in needs(name, it.ids, it.template.parameters):
            if not allows(policies, action, resource, context):
                yield f"{name} may not {action} on {resource}"
        for action, resource in forbidden(name, it.ids):
            if allows(policies, action, resource, context):
                yield f"{name} may {action} on {resource}"


def notices(it: Deployed) -> Iterator[str]:
    """The ends of jobs lead to the function that tells of them."""
    for mapping in it.resources("AWS::Lambda::EventSourceMapping").values():
        if (
            "/stream/" in mapping["EventSourceArn"]
            and function_of(mapping["FunctionName"]) == "NoticesFunction"
        ):
            if not mapping["EventSourceArn"].startswith(it.ids["JobsTable"]):
                yield "the notices are of another table"
            if mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination") != it.ids.get(
                "NoticeDeadLetters"
            ):
                yield "notices that cannot be sent are lost"
            return
    yield "nobody tells of the ends of jobs"
