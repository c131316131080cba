"""What the code of each role does with AWS, and whether the template's policies let it.

Statements are judged by moto's reading of IAM, conditions by the few operators that the template uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult

Document = Mapping[str, Any]
NETWORK = (
    *("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
    *("ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
)


def needs(role: str, ids: Mapping[str, str], parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Gives the actions, each with a resource, that the code behind a role carries out.

    Args:
        role: logical id.
        ids: ARN of every resource by logical id.
        parameters: of the stack.
    """
    inbox, results, table = ids["InputBucket"], ids["ResultsBucket"], ids["JobsTable"]
    if role not in ("BatchRole", "DeploymentRole"):
        yield from _function_needs(ids, parameters)
    by_role: dict[str, Callable[[], Iterable[tuple[str, str]]]] = {
        "ClassificationRole": lambda: _inference_needs("classification", ids, parameters),
        "DetectionRole": lambda: _inference_needs("detection", ids, parameters),
        "SegmentationRole": lambda: _inference_needs("segmentation", ids, parameters),
        "TransformRole": lambda: _inference_needs("transform", ids, parameters),
        "ExplainRole": lambda: _inference_needs("explain", ids, parameters),
        "JobsRole": lambda: [
            ("s3:PutObject", f"{inbox}/uploads/detection/id/a.jpg"),  # by a presigned form
            ("s3:GetObject", f"{results}/results/detection/uploads/detection/id/a.jpg.json"),
            ("s3:ListBucket", results),
            ("s3:ListBucket", inbox),  # whether there is a photo under a batch's prefix
            *((f"dynamodb:{action}", table) for action in ("GetItem", "UpdateItem")),
            ("states:StartExecution", ids["BatchStateMachine"]),
            *(
                (f"states:{action}", _executions(ids, "execution", ":id"))
                for action in ("DescribeExecution", "ListMapRuns")
            ),
            ("states:DescribeMapRun", _executions(ids, "mapRun", "/Images:id")),
        ],
        "OpenInferenceRole": lambda: [],
        "PortalRole": lambda: [],
        "AuthorizerRole": lambda: [("secretsmanager:GetSecretValue", ids["ApiKeys"])],
        "NoticesRole": lambda: [
            *(
                (f"dynamodb:{action}", ids["the stream of JobsTable"])
                for action in ("DescribeStream", "GetRecords", "GetShardIterator")
            ),
            # Lambda demands it when the mapping is made:
            # https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
            ("dynamodb:ListStreams", f"{table}/stream/*"),
            ("events:PutEvents", "arn:aws:events:us-east-1:123456789012:event-bus/default"),
            ("sqs:SendMessage", ids["NoticeDeadLetters"]),
        ],
        "BatchRole": lambda: [
            ("s3:ListBucket", inbox),
            *(
                (f"s3:{action}", f"{results}/results/detection/batches/id/x")
                for action in ("PutObject", "GetObject", "ListMultipartUploadParts", "AbortMultipartUpload")
            ),
            *(
                ("lambda:InvokeFunction", f"{ids[f'{task}Function']}{alias}")
                for task in ("Classification", "Detection", "Segmentation", "Transform")
                # An execution that is redriven calls what it began with.
                for alias in ("", ":live")
            ),
            ("states:StartExecution", ids["BatchStateMachine"]),
            *(
                (f"states:{action}", _executions(ids, "execution", "/Images:id"))
                for action in ("RedriveExecution",)
            ),
            *(
                (f"states:{action}", _executions(ids, "execution", ":id"))
                for action in ("DescribeExecution", "StopExecution")
            ),
        ],
        "DeploymentRole": lambda: [
            *(
                (f"lambda:{action}", f"{ids[f'{task}Function']}:live")
                for task in _WITH_ALIAS
                for action in ("GetAlias", "UpdateAlias", "GetProvisionedConcurrencyConfig")
            ),
            ("cloudwatch:DescribeAlarms", "arn:aws:cloudwatch:us-east-1:123456789012:alarm:errors"),
        ],
    }
    yield from by_role[role]()
    if parameters["ModelsBucket"] and role in (*_WITH_MODELS, *_MODELS_ALONE):
        models = f"arn:aws:s3:::{parameters['ModelsBucket']}"
        yield "s3:GetObject", f"{models}/{parameters['ModelsPrefix']}/yolox/model.onnx"
        yield "s3:ListBucket", models
    yield from _key_needs(role, parameters)


_WITH_MODELS = ("ClassificationRole", "DetectionRole", "SegmentationRole", "ExplainRole")
_MODELS_ALONE = ("OpenInferenceRole", "PortalRole")  # no photo, no result
_WITH_ALIAS = ("Classification", "Detection", "Segmentation", "Transform", "Explain", "OpenInference")


def _key_needs(role: str, parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """With a key of one's own, who reads must decrypt, and who writes to a bucket must ask for data keys."""
    key = parameters["KmsKeyArn"]
    if not key or role == "DeploymentRole" or (role in _MODELS_ALONE and not parameters["ModelsBucket"]):
        return
    yield "kms:Decrypt", key
    if role in (*_WITH_MODELS, "TransformRole", "JobsRole", "BatchRole"):
        yield "kms:GenerateDataKey", key


def _function_needs(ids: Mapping[str, str], parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    stream = ids["LogGroup"].removesuffix("*") + "log-stream:x"
    yield from ((f"logs:{action}", stream) for action in ("CreateLogStream", "PutLogEvents"))
    if parameters["Tracing"] == "true":
        yield from ((f"xray:{action}", "*") for action in ("PutTraceSegments", "PutTelemetryRecords"))
    if parameters["SubnetIds"]:
        yield from ((action, "*") for action in NETWORK)


def _inference_needs(
    task: str, ids: Mapping[str, str], parameters: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for bucket in (ids["InputBucket"], ids["ResultsBucket"]):
        yield "s3:GetObject", f"{bucket}/uploads/{task}/a.jpg"
        yield "s3:GetObjectVersion", f"{bucket}/uploads/{task}/a.jpg"
        # Else what is missing looks like what is forbidden.
        yield "s3:ListBucket", bucket
        yield "s3:ListBucketVersions", bucket
    yield "s3:PutObject", f"{ids['ResultsBucket']}/results/{task}/a.jpg.json"
    yield from ((f"dynamodb:{action}", ids["JobsTable"]) for action in ("GetItem", "UpdateItem"))
    for bucket in filter(None, parameters["AllowedBuckets"].split(",")):
        arn = f"arn:aws:s3:::{bucket}"
        yield from ((f"s3:{action}", f"{arn}/a.jpg") for action in ("GetObject", "GetObjectVersion"))
        yield from ((f"s3:{action}", arn) for action in ("ListBucket", "ListBucketVersions"))
    queue = ids[f"{task.capitalize()}Queue"]
    yield from (
        (f"sqs:{action}", queue) for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
    )


def forbidden(role: str, ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Gives what a role could do harm with and has no use for."""
    inbox, results = ids["InputBucket"], ids["ResultsBucket"]
    yield from (
        ("s3:PutObject", f"{inbox}/elsewhere"),
        ("s3:DeleteObject", f"{inbox}/uploads/detection/a.jpg"),
    )
    yield from (("s3:DeleteObject", f"{results}/results/a"), ("dynamodb:Scan", ids["JobsTable"]))
    yield from (
        ("dynamodb:DeleteItem", ids["JobsTable"]),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/x"),
    )
    yield from (("s3:GetObject", "arn:aws:s3:::other/a"), ("logs:CreateLogGroup", "*"))
    if role != "JobsRole":  # its forms sign for uploads
        yield "s3:PutObject", f"{inbox}/uploads/classification/a.jpg"
    if role not in ("DetectionRole", "BatchRole"):
        yield "s3:PutObject", f"{results}/results/detection/a.jpg.json"
    if role not in (*_WITH_MODELS, "TransformRole"):
        yield "s3:GetObject", f"{inbox}/uploads/detection/a.jpg"
        yield "sqs:ReceiveMessage", ids["DetectionQueue"]
    # Neither what no batch calls nor a version that no alias points to.
    yield "lambda:InvokeFunction", ids["JobsFunction"]
    yield "lambda:InvokeFunction", f"{ids['DetectionFunction']}:1"
    if role != "AuthorizerRole" and "ApiKeys" in ids:
        yield "secretsmanager:GetSecretValue", ids["ApiKeys"]


def allows(policies: Sequence[Document], action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Tells whether policies allow an action on a resource: some statement does and none denies."""
    results = set()
    for policy in policies:
        for statement in policy["Statement"]:
            if _holds(statement.get("Condition", {}), context):
                bare = {name: each for name, each in statement.items() if name != "Condition"}
                results.add(IAMPolicyStatement(bare).is_action_permitted(action, resource))
    return PermissionResult.PERMITTED in results and PermissionResult.DENIED not in results


def _holds(conditions: Mapping[str, Mapping[str, str]], context: Mapping[str, str]) -> bool:
    for operator, expected in conditions.items():
        if operator not in ("StringEquals", "StringLike", "ArnLike"):
            raise NotImplementedError(f"a condition that is not known here: {operator}")
        for name, pattern in expected.items():
            matches = context.get(name) == pattern if operator == "StringEquals" else True
            if not (matches and fnmatchcase(context.get(name, ""), pattern)):
                return False
    return True


def _executions(ids: Mapping[str, str], kind: str, rest: str) -> str:
    return ids["BatchStateMachine"].replace(":stateMachine:", f":{kind}:") + rest
