"""What must hold between template.yaml and the rest of the repository."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse
from tests.graphs import mean_graph, write_model

from layer_build.build import python_version
from local.template import TEMPLATE, Template, read_template
from vision.service import open_models
from vision.settings import VARIABLES, Settings

REPOSITORY = TEMPLATE.parent
SAM: dict[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
FUNCTIONS = {
    name: r["Properties"] for name, r in SAM["Resources"].items() if r["Type"] == "AWS::Serverless::Function"
}
LAYERS = {name: r for name, r in SAM["Resources"].items() if r["Type"] == "AWS::Serverless::LayerVersion"}
# The HTTP contract.
PATHS = {
    "/v1/classify": "ClassificationFunction",
    "/v1/detect": "DetectionFunction",
    "/v1/segment": "SegmentationFunction",
    "/v1/transform": "TransformFunction",
    "/v1/explain": "ExplainFunction",
    "/hf/image-classification": "ClassificationFunction",
    "/hf/object-detection": "DetectionFunction",
    "/hf/image-segmentation": "SegmentationFunction",
    "/v1/jobs": "JobsFunction",
    "/v1/jobs/{id}": "JobsFunction",
    "/v1/batches": "JobsFunction",
    "/v1/batches/{id}": "JobsFunction",
    "/v1/models": "PortalFunction",
    "/v1/models/{id}": "PortalFunction",
    "/v2": "OpenInferenceFunction",
    "/v2/health/live": "OpenInferenceFunction",
    "/v2/health/ready": "OpenInferenceFunction",
    "/v2/models/{id}": "OpenInferenceFunction",
    "/v2/models/{id}/ready": "OpenInferenceFunction",
    "/v2/models/{id}/infer": "OpenInferenceFunction",
    "/health": "PortalFunction",
    "/": "PortalFunction",
    "/openapi.json": "PortalFunction",
    "/docs": "PortalFunction",
    "/docs/{id}": "PortalFunction",
    "$default": "PortalFunction",
}
# What a card may say about its being the task's default.
KINDS: dict[str, dict[str, Any]] = {
    "default": {"default": True},
    "plain": {},
    "fallback": {"fallback": True},
    "both": {"default": True, "fallback": True},
}


@pytest.fixture(scope="module")
def template() -> Template:
    return read_template()


def test_every_path_of_the_contract_has_its_function(template: Template) -> None:
    assert {route.path: route.function for route in template.routes()} == PATHS


def test_the_code_serves_the_paths_that_the_template_routes() -> None:
    sources = "\n".join(path.read_text() for path in (REPOSITORY / "layers/core/vision").glob("*.py"))

    known = r"/(?:v1|v2|hf)/[\w/{}-]+|/v2|/health|/openapi\.json|/docs(?:/\{id\})?|/"
    served = set(re.findall(rf'"({known})"', sources))

    assert served == PATHS.keys() - {"$default"}


def test_every_function_has_a_folder_and_every_folder_a_function() -> None:
    folders = {path.name for path in (REPOSITORY / "functions").iterdir() if (path / "app.py").exists()}

    assert folders == {Path(properties["CodeUri"]).name for properties in FUNCTIONS.values()}
    assert all(properties["CodeUri"].startswith("functions/") for properties in FUNCTIONS.values())


def test_the_python_version_is_stated_once() -> None:
    runtimes = re.findall(r"python(\d+\.\d+)", TEMPLATE.read_text())

    assert runtimes == [python_version()]


def test_every_layer_has_a_rule_that_builds_it() -> None:
    for name, layer in LAYERS.items():
        makefile = REPOSITORY / layer["Properties"]["ContentUri"] / "Makefile"
        assert re.search(rf"^build-{name}:", makefile.read_text(), re.MULTILINE), name


def test_every_function_that_is_built_has_a_rule_that_builds_it() -> None:
    built = {name: FUNCTIONS[name] for name in FUNCTIONS if "Metadata" in SAM["Resources"][name]}

    assert built
    for name, function in built.items():
        makefile = REPOSITORY / function["CodeUri"] / "Makefile"
        assert re.search(rf"^build-{name}:", makefile.read_text(), re.MULTILINE), name


def test_no_function_attaches_more_layers_than_lambda_takes() -> None:
    assert max(len(properties["Layers"]) for properties in FUNCTIONS.values()) <= 5


def test_the_variables_of_functions_are_settings_that_exist(template: Template) -> None:
    for name, function in template.resources("AWS::Lambda::Function").items():
        for variable in function["Properties"]["Environment"]["Variables"]:
            assert variable.startswith("POWERTOOLS_") or variable in VARIABLES, (name, variable)


def test_no_policy_allows_every_action_or_every_resource(template: Template) -> None:
    policies = template.resources("AWS::IAM::ManagedPolicy")
    statements = [
        statement
        for policy in policies.values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "Fn::If" not in statement
    ]

    assert statements
    assert not [s for s in statements if "*" in json.dumps([s["Action"]]) or s["Resource"] == "*"]


def test_models_in_a_bucket_are_read_by_every_function_that_lists_or_runs_them(template: Template) -> None:
    functions = template.resources("AWS::Lambda::Function")
    roles = template.resources("AWS::IAM::Role")
    only_with_bucket = {"Fn::If": ["HasModelsBucket", {"Ref": "ModelsPolicy"}, {"Ref": "AWS::NoValue"}]}

    readers = {
        name
        for name, each in functions.items()
        if "VISION_MODELS" in each["Properties"]["Environment"]["Variables"]
    }
    allowed = {
        name
        for name, each in functions.items()
        if only_with_bucket
        in roles[each["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]["ManagedPolicyArns"]
    }

    with_models = {name for name, each in FUNCTIONS.items() if "Models" in str(each["Layers"])}
    assert readers == allowed == with_models


def test_no_more_of_the_models_bucket_is_read_than_the_prefix(template: Template) -> None:
    policy = template.resources("AWS::IAM::ManagedPolicy")["ModelsPolicy"]
    read, listed, _with_key = policy["Properties"]["PolicyDocument"]["Statement"]

    assert policy["Condition"] == "HasModelsBucket"
    assert (read["Action"], listed["Action"]) == ("s3:GetObject", "s3:ListBucket")
    assert read["Resource"]["Fn::Sub"].endswith(":::${ModelsBucket}/${ModelsPrefix}/*")
    assert listed["Resource"]["Fn::Sub"].endswith(":::${ModelsBucket}")
    assert listed["Condition"] == {"StringLike": {"s3:prefix": {"Fn::Sub": "${ModelsPrefix}/*"}}}


@pytest.mark.parametrize("bucket", ["InputBucket", "ResultsBucket"])
def test_a_bucket_is_reached_by_tls_only_and_outlives_the_stack(template: Template, bucket: str) -> None:
    policies = template.resources("AWS::S3::BucketPolicy").values()
    (policy,) = [p["Properties"] for p in policies if p["Properties"]["Bucket"] == {"Ref": bucket}]
    statements = policy["PolicyDocument"]["Statement"]

    for statement in statements:
        assert (statement["Effect"], statement["Action"], statement["Principal"]) == ("Deny", "s3:*", "*")
    assert [statement["Condition"] for statement in statements] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    ]
    assert template.resources("AWS::S3::Bucket")[bucket]["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize("task", ["classification", "detection", "segmentation"])
def test_a_model_layer_holds_the_default_model_of_its_task(tmp_path: Path, task: str) -> None:
    source, artifacts = tmp_path / "models", tmp_path / "layer"
    cards: dict[str, dict[str, Any]] = {
        f"best-{task}": {"task": task, "default": True},
        f"another-{task}": {"task": task},
        "best-other": {"task": "pose", "default": True},
    }
    for name, card in cards.items():
        (source / name).mkdir(parents=True)
        files = {"file": "model.onnx", "labels": "labels.txt"}
        digest = hashlib.sha256(b"graph").hexdigest()
        (source / name / "card.json").write_text(json.dumps({**card, **files, "sha256": digest}))
        for file in files.values():
            (source / name / file).write_bytes(b"graph")

    built = _build_models(source, artifacts, task)

    assert built.returncode == 0, built.stderr
    assert f"The layer for {task} holds best-{task}, " in built.stdout
    assert [path.name for path in (artifacts / "models").iterdir()] == [f"best-{task}"]
    assert (artifacts / "models" / f"best-{task}" / "model.onnx").read_bytes() == b"graph"


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_a_model_layer_holds_the_model_that_the_service_chooses(
    tmp_path: Path, first: str, second: str
) -> None:
    source, artifacts = tmp_path / "models", tmp_path / "layer"
    for name, kind in {"a": first, "b": second, "c": "fallback"}.items():
        write_model(source, mean_graph((8, 8)), id=name, **KINDS[kind])

    built = _build_models(source, artifacts, "classification")

    assert built.returncode == 0, built.stderr
    chosen = open_models(Settings(models=source)).choose("classification", None)
    assert [path.name for path in (artifacts / "models").iterdir()] == [chosen.id]


def test_a_model_layer_without_models_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()

    built = _build_models(tmp_path / "models", tmp_path / "layer", "detection")

    assert built.returncode != 0
    assert "run 'make models' first" in built.stderr


def _build_models(source: Path, artifacts: Path, task: str) -> subprocess.CompletedProcess[str]:
    makefile = REPOSITORY / "models" / "Makefile"
    return subprocess.run(
        ["make", "--makefile", makefile, f"build-{task.capitalize()}Models", f"PYTHON={sys.executable}"],
        cwd=source,
        env={**os.environ, "ARTIFACTS_DIR": str(artifacts)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_the_three_tasks_have_alike_is_written_alike() -> None:
    """Copies by hand drift apart: with the names of the tasks taken out they must be the same."""
    resources = SAM["Resources"]
    # What is said of a task is its own, and so is its place in a chain.
    own = {"Description", "AlarmDescription", "DependsOn"}

    def of(task: str) -> dict[str, Any]:
        text = json.dumps({name: each for name, each in resources.items() if name.startswith(task)})
        copies: dict[str, Any] = json.loads(
            text.replace(task, "Task").replace(task.lower(), "task"),
            object_hook=lambda part: {key: value for key, value in part.items() if key not in own},
        )
        return copies

    classification = of("Classification")
    assert len(classification) > 15
    assert of("Detection") == classification
    assert of("Segmentation") == classification


def test_what_is_others_or_cannot_be_made_again_outlives_the_stack() -> None:
    kept = {"InputBucket", "ResultsBucket", "ApiKeys"}

    # The keys outlive a change of Auth too, which takes their condition away.
    for name in kept:
        policies = [SAM["Resources"][name].get(each) for each in ("DeletionPolicy", "UpdateReplacePolicy")]
        # A create that fails leaves nothing behind, for it holds nothing yet.
        assert policies == ["RetainExceptOnCreate", "Retain"]


# What an account has on its first day: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
NEW_ACCOUNT_MEMORY_MB, NEW_ACCOUNT_ENVIRONMENTS = 3_008, 10


def test_the_defaults_fit_the_quotas_of_a_new_account() -> None:
    defaults = {name: each["Default"] for name, each in SAM["Parameters"].items()}
    memory = {name: value for name, value in defaults.items() if name.endswith("MemoryMb")}

    assert set(memory) >= {"ClassificationMemoryMb", "ExplainMemoryMb"}
    assert max(memory.values()) <= NEW_ACCOUNT_MEMORY_MB
    # Uploads of one task, a batch and HTTP at once.
    assert defaults["UploadConcurrency"] + defaults["BatchConcurrency"] < NEW_ACCOUNT_ENVIRONMENTS
    assert defaults["ThrottleBurst"] <= NEW_ACCOUNT_ENVIRONMENTS
    assert {value for name, value in defaults.items() if name.endswith("ReservedConcurrency")} == {-1}


@pytest.mark.parametrize(("kind", "most"), [("Integration", 2), ("Route", 4)])
def test_changes_of_the_api_come_a_few_at_a_time(kind: str, most: int) -> None:
    made = {
        name: (each.get("Condition"), each.get("DependsOn"))
        for name, each in SAM["Resources"].items()
        if each["Type"] == f"AWS::ApiGatewayV2::{kind}"
    }

    for condition in {condition for condition, _ in made.values()}:
        own = {name: after for name, (its, after) in made.items() if its == condition}
        assert sum(after is None for after in own.values()) <= most
        # A chain stays within what is made under the same condition, and no two wait for the same one.
        waited_for = [after for after in own.values() if after]
        assert set(waited_for) <= set(own)
        assert len(set(waited_for)) == len(waited_for)


def test_every_parameter_is_described_and_grouped() -> None:
    groups = SAM["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]

    assert sorted(grouped) == sorted(SAM["Parameters"])
    assert all(len(parameter["Description"]) > 20 for parameter in SAM["Parameters"].values())
    # Nothing has to be known before the first deployment.
    assert all("Default" in parameter for parameter in SAM["Parameters"].values())


def test_the_handbook_of_deployment_names_every_parameter_with_its_default() -> None:
    page = (REPOSITORY / "docs/deploy.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.MULTILINE))

    stated = {name: default.strip("`") for name, default in rows.items() if name in SAM["Parameters"]}
    assert stated == {name: str(each["Default"]) or "none" for name, each in SAM["Parameters"].items()}


@pytest.mark.slow
def test_sam_finds_nothing_wrong() -> None:
    # In a virtual environment of its own: aws-sam-cli pins versions of packages that the tests use too.
    sam = os.environ.get("SAM") or shutil.which(
        "sam", path=f"{REPOSITORY / '.venv-sam/bin'}:{os.environ['PATH']}"
    )
    if sam is None:
        pytest.skip("no sam command: `make test` installs it")

    validated = subprocess.run(
        [sam, "validate", "--lint", "--template", TEMPLATE],
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert validated.returncode == 0, validated.stdout + validated.stderr
