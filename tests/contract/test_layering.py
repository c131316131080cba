"""The order of the library's modules, and what each of them alone may know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "layers" / "core" / "vision"
FUNCTIONS = ROOT / "functions"
MAX_LINES = 260

# A module imports only from those before it.
ORDER = (
    *("__init__", "lazy", "frozen", "errors", "settings", "geometry", "steps"),
    *("arguments", "definitions", "operations", "chain", "lowering", "policies", "augment", "plan"),
    *("records", "card", "labels", "results", "params", "forms", "request"),
    *("replies", "events", "secret", "keys", "authorizer", "access"),
    *(
        "base64_text",
        "surrogates",
        "body",
        "aws",
        "weights",
        "sources",
        "download",
        "cache",
        "s3_models",
        "workflow",
        "ahead",
    ),
    *(
        "formats",
        "limits",
        "png_walk",
        "gif_walk",
        "tiff_kinds",
        "bmp_kinds",
        "transparency",
        "upright",
        "image",
        "resampling",
        "tensor",
        "runner",
    ),
    *("modes", "geometric", "curves", "deep", "adjust", "srgb", "metadata", "raster"),
    *("class_maps", "encoding"),
    *(
        "classify",
        "nms",
        "candidates",
        "box_decoders",
        "yolo_decoders",
        "detect",
        "segment",
        "checks",
        "models",
        "features",
    ),
    *("masks", "polygons", "draw", "exports", "response"),
    *("annotations", "transform_parameters", "presets"),
    *("claims", "job_parameters", "jobs", "batches", "manifest", "telemetry"),
    *("pipeline", "delivery", "inference", "predictions", "uploads", "parts", "notices"),
    *("transform", "archive", "transform_response", "transform_service", "transform_uploads"),
    "transform_parts",
    *("perturb", "targets", "probe", "attribution", "faithfulness"),
    *("explanation", "explain", "heatmap", "explainer"),
    *("tensors", "coding", "infer_body", "infer_request", "infer_reply", "open_inference"),
    *("edge", "files", "page", "documentation", "portal", "startup", "service", "cli"),
)
# Who may import a package.
IMPORTERS = {
    "boto3": {"aws"},
    "botocore": {"aws", "secret", "notices"},
    "onnxruntime": {"runner"},
    "PIL": {
        *("upright", "image", "resampling", "draw", "heatmap"),
        *("modes", "geometric", "deep", "adjust", "srgb", "metadata", "raster", "class_maps", "encoding"),
        "bmp_kinds",
        "transparency",
    },
    "pydantic": set[str](),
    "moto": set[str](),
}
# Who may read the environment: `settings` makes sense of it, the others hand it on.
ENVIRONMENT_READERS = {"settings", "service", "telemetry", "cli", "authorizer"}
EVENT_KEYS = {
    *("requestContext", "rawPath", "httpMethod", "queryStringParameters", "multiValueQueryStringParameters"),
    *("routeKey", "pathParameters", "authorizer", "claims", "userArn"),
    *("Records", "eventSource", "eventName", "detail-type", "versionId", "version-id", "eTag"),
}

MODULES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(LIBRARY.glob("*.py"))}
HANDLERS = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(FUNCTIONS.rglob("*.py"))
}


def _imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names of what a module imports; `from vision import aws` is `vision.aws`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = str(node.module)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _library_imports(tree: ast.Module) -> set[str]:
    """Names of the library's modules that a module imports."""
    parts = [name.split(".") for name in _imports(tree)]
    found = {each[1] for each in parts if each[0] == "vision" and len(each) > 1}
    return {name if name in MODULES else "__init__" for name in found}


def _packages(tree: ast.Module) -> set[str]:
    return {name.split(".")[0] for name in _imports(tree)}


def test_every_module_has_its_place_in_the_order() -> None:
    assert set(ORDER) == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_those_before_it(module: str) -> None:
    before = set(ORDER[: ORDER.index(module)])

    assert _library_imports(MODULES[module]) <= before


@pytest.mark.parametrize("package", IMPORTERS)
def test_a_package_is_imported_only_where_it_belongs(package: str) -> None:
    importers = {module for module, tree in MODULES.items() if package in _packages(tree)}

    assert importers <= IMPORTERS[package]


@pytest.mark.parametrize("module", MODULES)
def test_the_environment_is_read_only_where_it_belongs(module: str) -> None:
    names = {node.attr for node in ast.walk(MODULES[module]) if isinstance(node, ast.Attribute)}

    assert module in ENVIRONMENT_READERS or not names & {"environ", "getenv", "putenv"}


@pytest.mark.parametrize("module", MODULES)
def test_keys_of_events_are_known_only_to_events(module: str) -> None:
    texts = {
        node.value
        for node in ast.walk(MODULES[module])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    assert module == "events" or not texts & EVENT_KEYS


@pytest.mark.parametrize("module", MODULES)
def test_everything_is_caught_only_at_the_edge(module: str) -> None:
    caught = [
        handler.type
        for handler in ast.walk(MODULES[module])
        if isinstance(handler, ast.ExceptHandler)
        and (
            handler.type is None
            or any(
                isinstance(node, ast.Name) and node.id in ("Exception", "BaseException")
                for node in ast.walk(handler.type)
            )
        )
    ]

    assert module == "edge" or caught == []


@pytest.mark.parametrize("module", MODULES)
def test_the_library_knows_neither_functions_nor_scripts_nor_tests(module: str) -> None:
    assert not _packages(MODULES[module]) & {"functions", "scripts", "local", "tests"}


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_function_only_builds_its_service(handler: str) -> None:
    imports = list(_imports(HANDLERS[handler]))

    assert imports
    builders = ("vision.service.", "vision.authorizer.", "vision.notices.")
    assert all(name.startswith(builders) for name in imports)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_read_in_one_sitting(module: str) -> None:
    lines = (LIBRARY / f"{module}.py").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= MAX_LINES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_in_its_first_line_what_it_is(module: str) -> None:
    docstring = ast.get_docstring(MODULES[module])

    assert docstring
    assert docstring.splitlines()[0].strip()
