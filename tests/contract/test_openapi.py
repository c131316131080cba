"""The OpenAPI document says what the code does: routes, parameters, bounds, errors; its examples hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from local.template import TEMPLATE, read_template
from vision import __version__, errors, service
from vision.access import OPEN
from vision.arguments import Length
from vision.card import TASKS, Defaults, Input, ModelCard, Normalize, Output, Resize
from vision.definitions import Parameter
from vision.formats import CONTENT_TYPES
from vision.forms import FORM_TABLE
from vision.operations import OPERATIONS, operation
from vision.params import BATCH_TASKS, JOB_TASKS, TABLE, Parsers
from vision.transform_parameters import PARSERS

PORTAL = TEMPLATE.parent / "functions" / "portal"
DOCUMENT: dict[str, Any] = json.loads((PORTAL / "openapi.json").read_text(encoding="utf-8"))
SCHEMAS, RESPONSES = DOCUMENT["components"]["schemas"], DOCUMENT["components"]["responses"]
CALLS = {
    (method.upper(), path): call
    for path, methods in DOCUMENT["paths"].items()
    for method, call in methods.items()
}
# By task: its route, and what its schemas are called.
TASK_ROUTES = {
    "classification": ("/v1/classify", "Classify"),
    "detection": ("/v1/detect", "Detect"),
    "segmentation": ("/v1/segment", "Segment"),
    "explain": ("/v1/explain", "Explain"),
    "transform": ("/v1/transform", "Transform"),
}
TABLES: dict[str, Parsers] = {
    **{task: {**table, **FORM_TABLE.get(task, {})} for task, table in TABLE.items()},
    "transform": PARSERS,
}
# Text in a language of its own, which a schema does not know: chains of operations, base64.
LANGUAGES = {"ops", "mask"}
EACH_PARAMETER = [(task, name) for task, table in TABLES.items() for name in table]
# Errors that no function raises: the gateway of the local service, and what jobs and batches failed of.
OTHER_KINDS = {"function-ended", "timeout", "lost", "batch-failed"}


def resolved(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the document, or what it refers to with what it adds to that."""
    if "$ref" not in part:
        return dict(part)
    target: Any = DOCUMENT
    for step in part["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**resolved(target), **{key: value for key, value in part.items() if key != "$ref"}}


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """A validator of a schema of the document, which may refer to others."""
    return Draft202012Validator(
        {"allOf": [schema], "components": DOCUMENT["components"]}, format_checker=FormatChecker()
    )


def fault(schema: Mapping[str, Any], value: Any) -> str:
    return "; ".join(error.message[:300] for error in validator(schema).iter_errors(value))


def examples_of(part: Mapping[str, Any]) -> Iterator[Any]:
    """The examples of a parameter, a header or a media type."""
    if "example" in part:
        yield part["example"]
    yield from (each["value"] for each in part.get("examples", {}).values())


def all_kinds() -> dict[str, type[errors.VisionError]]:
    found, left = {}, [errors.VisionError]
    while left:
        kind = left.pop()
        found[kind.kind] = kind
        left += kind.__subclasses__()
    return found


# --------------------------------------------------------------------------------------------- the whole


def test_the_document_is_valid_openapi_3_1() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []
    assert (DOCUMENT["openapi"], DOCUMENT["info"]["version"]) == ("3.1.0", __version__)


def test_it_has_the_paths_of_the_template_and_no_others() -> None:
    routed = {route.path for route in read_template().routes()} - {"$default"}

    assert set(DOCUMENT["paths"]) == routed


def test_it_has_the_methods_that_the_functions_take_and_no_others(
    monkeypatch: pytest.MonkeyPatch, models_folder: Path
) -> None:
    taken: list[tuple[str, str]] = []
    for name in [name for name in os.environ if name.startswith("VISION_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VISION_MODELS", str(models_folder))
    monkeypatch.setattr(service, "Edge", lambda routes, **_: taken.extend(routes))
    monkeypatch.setattr(service, "instrumented", lambda edge: edge)

    for task in TASKS:
        service.build_inference(task)
    service.build_transform()
    service.build_explain()
    service.build_jobs()
    service.build_open_inference()
    service.build_portal(PORTAL / "app.py")

    # A Function URL has no paths but its own.
    assert set(CALLS) == {*taken} - {("POST", "/")}


def test_every_operation_asks_for_a_caller_but_those_that_are_open() -> None:
    asking = {key for key, call in CALLS.items() if call.get("security", DOCUMENT["security"])}

    is_open = OPEN | {("GET", "/docs/{id}")}
    assert set(CALLS) - asking == is_open & set(CALLS)
    assert {"key", "bearer", "token", "signature"} == set(DOCUMENT["components"]["securitySchemes"])


@pytest.mark.parametrize("key", CALLS, ids=" ".join)
def test_every_operation_is_told_to_readers(key: tuple[str, str]) -> None:
    call = CALLS[key]

    assert call["operationId"]
    assert call["summary"]
    assert call["description"].endswith(".")
    assert {*call["tags"]} <= {tag["name"] for tag in DOCUMENT["tags"]}
    assert all(resolved(response)["description"] for response in call["responses"].values())
    for parameter in map(resolved, call.get("parameters", ())):
        assert parameter["description"].endswith(".")


def test_nothing_is_defined_that_nothing_refers_to() -> None:
    text = json.dumps(DOCUMENT)

    unused = [
        f"{kind}/{name}"
        for kind, named in DOCUMENT["components"].items()
        for name in named
        if kind != "securitySchemes" and f'"#/components/{kind}/{name}"' not in text
    ]

    assert unused == []


# ------------------------------------------------------------------------------------------- examples


def test_every_field_has_a_description_and_an_example() -> None:
    missing = [
        where
        for name, schema in SCHEMAS.items()
        if not (schema.get("type") == "array" and _is_shown(schema))
        for where, field in _fields(schema, name)
        if not _is_told(field)
    ]

    assert missing == []


def _fields(schema: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of a schema and of those inside it, with where they are."""
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from _fields(each, f"{where}[{index}]")
    if not isinstance(schema, dict):
        return
    for name, field in schema.get("properties", {}).items():
        yield f"{where}.{name}", field
        if not _is_shown(field):
            yield from _fields(field, f"{where}.{name}")
    for keyword in ("items", "oneOf", "anyOf", "additionalProperties"):
        yield from _fields(schema.get(keyword), f"{where}/{keyword}")


def _is_shown(field: dict[str, Any]) -> bool:
    """Whether an example shows all that is inside."""
    return bool(field.get("examples"))


def _is_told(field: dict[str, Any]) -> bool:
    if "const" in field or field.get("format") == "binary":
        return True  # it is its own example; bytes
    if "$ref" in field or field.keys() & {"oneOf", "anyOf", "properties"}:
        return True  # what they are made of is told
    if isinstance(field.get("items"), dict) and field["items"].keys() & {"$ref", "properties"}:
        return True
    return bool(field.keys() & {"examples"})


def test_the_examples_in_schemas_are_valid() -> None:
    found = [
        (where, fault(part, example))
        for where, part in _parts(SCHEMAS, "schemas")
        if isinstance(part.get("examples"), list)
        for example in part["examples"]
        if fault(part, example)
    ]

    assert found == []


def _parts(part: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, dict):
        yield where, part
    for key, each in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(each, dict | list) and key not in ("examples", "enum"):
            yield from _parts(each, f"{where}/{key}")


@pytest.mark.parametrize("key", CALLS, ids=" ".join)
def test_every_parameter_header_and_body_has_examples_and_they_are_valid(key: tuple[str, str]) -> None:
    call = CALLS[key]
    parts: list[tuple[str, dict[str, Any]]] = []
    for parameter in map(resolved, call.get("parameters", ())):
        parts.append((parameter["name"], parameter.get("content", {}).get("application/json") or parameter))
    contents = [call.get("requestBody", {}).get("content", {})]
    for status, response in call["responses"].items():
        told = resolved(response)
        contents.append(told.get("content", {}))
        parts += [(f"{status} {name}", resolved(header)) for name, header in told["headers"].items()]
    for content in contents:
        # A form's fields have examples of their own; the bytes of a picture speak for themselves.
        parts += [
            (name, media)
            for name, media in content.items()
            if name != "multipart/form-data" and media["schema"].get("format") != "binary"
        ]

    for name, part in parts:
        assert list(examples_of(part)), name
        for example in examples_of(part):
            assert fault(part["schema"], example) == "", name


# ------------------------------------------------------------------------------------ what requests may say


@pytest.mark.parametrize("task", TABLES)
def test_each_way_to_send_parameters_knows_all_of_them(task: str) -> None:
    path, title = TASK_ROUTES[task]
    query = {resolved(each)["name"] for each in CALLS["POST", path]["parameters"]}

    # A picture in an address is no use.
    assert query == TABLES[task].keys() - {"mask"}
    assert SCHEMAS[f"{title}Parameters"]["properties"].keys() == TABLES[task].keys()
    assert SCHEMAS[f"{title}Form"]["properties"].keys() == {"image", *TABLES[task]}
    for body in ("Parameters", "Form"):
        assert SCHEMAS[f"{title}{body}"]["additionalProperties"] is False


@pytest.mark.parametrize(("task", "name"), EACH_PARAMETER)
def test_what_a_schema_allows_is_what_the_parser_takes(task: str, name: str) -> None:
    path, title = TASK_ROUTES[task]
    parse = TABLES[task][name]
    in_json = SCHEMAS[f"{title}Parameters"]["properties"][name]
    forms = [in_json, SCHEMAS[f"{title}Form"]["properties"][name]]
    forms += [
        resolved(each).get("schema", {})
        for each in CALLS["POST", path]["parameters"]
        if resolved(each)["name"] == name
    ]

    probes = [value for schema in forms for value in _probes(resolved(schema))]

    for value in probes:
        if name in LANGUAGES and isinstance(value, str):
            continue
        assert _takes(parse, value) == (fault(in_json, value) == ""), value


def _probes(schema: dict[str, Any]) -> Iterator[Any]:
    """Values at, inside and beyond the bounds of a schema."""
    for bound, beyond in (("minimum", -1), ("maximum", 1)):
        if bound in schema:
            yield from (schema[bound], schema[bound] + beyond)
            yield from (str(schema[bound]), str(schema[bound] + beyond))
    names = [each for each in schema.get("enum", ()) if each is not None]
    yield from names
    yield from (f"{each}x" for each in names)
    if "maxItems" in schema and schema.get("items", {}).get("type") == "string":
        yield from ([f"label {n}" for n in range(schema["maxItems"])], [])
        yield [f"label {n}" for n in range(schema["maxItems"] + 1)]
    yield from ("", " ", True, {}, "no such thing,", "1e400", "\u0665")


def _takes(parse: Any, value: Any) -> bool:
    try:
        parse(value)
    except (ValueError, errors.InvalidParameter):
        return False
    return True


def test_photos_may_be_of_every_format_that_is_read() -> None:
    for path, _ in TASK_ROUTES.values():
        content = CALLS["POST", path]["requestBody"]["content"]
        packed = {"application/octet-stream", "multipart/form-data", "application/json"}
        assert content.keys() == {*CONTENT_TYPES.values(), *packed}
    for variant in SCHEMAS["NewJob"]["oneOf"]:
        assert variant["properties"]["content_type"]["enum"] == list(CONTENT_TYPES.values())


def test_jobs_and_batches_are_for_the_same_tasks() -> None:
    for name, tasks in (("NewJob", JOB_TASKS), ("NewBatch", BATCH_TASKS)):
        variants = {each["properties"]["task"]["const"]: each for each in SCHEMAS[name]["oneOf"]}
        assert tuple(variants) == tasks
        for task, variant in variants.items():
            of_task = variant["properties"]["parameters"]["anyOf"][0]["$ref"]
            # What they write is always the same JSON.
            own = "Job" if task in FORM_TABLE else ""
            assert of_task == f"#/components/schemas/{TASK_ROUTES[task][1]}{own}Parameters"
            names = (TABLE | {"transform": PARSERS})[task].keys()
            assert resolved(variant["properties"]["parameters"]["anyOf"][0])["properties"].keys() == names


# ------------------------------------------------------------------------------------- operations


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_the_arguments_of_the_table(name: str) -> None:
    schema = resolved({"$ref": SCHEMAS["Operation"]["discriminator"]["mapping"][name]})
    known = {key: each for each in OPERATIONS[name].parameters for key in (each.name, *each.aliases)}

    assert schema["description"] == OPERATIONS[name].meaning
    assert schema["properties"].keys() == {"op", *known}
    assert schema["additionalProperties"] is False
    for key, parameter in known.items():
        told = schema["properties"][key]
        assert _bounds(told) == _bounds_in_words(parameter.kind.allowed), key
        if key == parameter.name:
            assert told.get("default") == _written(parameter), key
        for value in (*told["examples"], *(told[bound] for bound in ("minimum", "maximum") if bound in told)):
            parameter.kind.parse(value)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_examples_of_an_operation_are_operations(name: str) -> None:
    schema = resolved({"$ref": SCHEMAS["Operation"]["discriminator"]["mapping"][name]})
    (example,) = schema["examples"]
    needed = {key for key in example if key != "op"}

    operation(name, {key: example[key] for key in needed})
    for key in needed:
        # It says what is needed and no more: each of them is asked for.
        less = {each: value for each, value in example.items() if each != key}
        with pytest.raises(errors.InvalidParameter):
            operation(name, {each: less[each] for each in less if each != "op"})
        assert fault(schema, less)


def test_the_operations_are_those_of_the_table() -> None:
    assert list(SCHEMAS["Operation"]["discriminator"]["mapping"]) == list(OPERATIONS)
    assert [each["$ref"] for each in SCHEMAS["Operation"]["oneOf"]] == list(
        SCHEMAS["Operation"]["discriminator"]["mapping"].values()
    )


def _bounds(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"]
    return [float(schema[name]) for name in ("minimum", "maximum") if name in schema]


def _bounds_in_words(allowed: str) -> Any:
    if allowed.startswith("one of "):
        return allowed.removeprefix("one of ").split(", ")
    if allowed == "yes or no":
        return [True, False, "yes", "no"]
    found = re.match(r"a (?:whole )?number (?:of pixels )?from (\S+) to ([\d.]+)", allowed)
    return [float(found[1]), float(found[2])] if found else []


def _written(parameter: Parameter) -> Any:
    default = parameter.default
    if isinstance(default, Length):
        return default.value
    return "black" if default == (0, 0, 0, 255) else default


# --------------------------------------------------------------------------------------- errors, models


def test_every_kind_of_error_is_told_with_its_status_and_title() -> None:
    problem = SCHEMAS["Problem"]["properties"]
    kinds = {each.removeprefix("urn:vision:problem:") for each in problem["type"]["enum"]}

    assert kinds == {*all_kinds(), *OTHER_KINDS}
    assert {each.title for each in all_kinds().values()} <= {*problem["title"]["enum"]}
    assert {each.status for each in all_kinds().values()} <= {*problem["status"]["enum"]}


def test_every_kind_of_error_has_an_example_where_its_status_is_told() -> None:
    told = {}
    for response in RESPONSES.values():
        media = response["content"]["application/problem+json"]
        (status,) = {example["status"] for example in examples_of(media)}
        assert media["schema"]["properties"]["status"]["const"] == status
        for example in examples_of(media):
            told[example["type"].removeprefix("urn:vision:problem:")] = (example["status"], example["title"])
    # What takes no method of the document is no answer of an operation.
    expected = {
        name: (each.status, each.title)
        for name, each in all_kinds().items()
        if each is not errors.MethodNotAllowed
    }

    assert {name: told.get(name) for name in expected} == expected


@pytest.mark.parametrize("key", CALLS, ids=" ".join)
def test_every_operation_tells_of_the_errors_that_any_has(key: tuple[str, str]) -> None:
    statuses = {int(status) for status in CALLS[key]["responses"]}

    assert {429, 500, 503} <= statuses
    assert (401 in statuses) == bool(CALLS[key].get("security", DOCUMENT["security"]))
    for status, response in CALLS[key]["responses"].items():
        if int(status) >= 400:
            assert "application/problem+json" in resolved(response)["content"]


@pytest.mark.parametrize(
    ("name", "kind", "more"),
    [
        ("Model", ModelCard, {"model_version"}),
        ("CardInput", Input, set()),
        ("CardResize", Resize, set()),
        ("CardNormalize", Normalize, set()),
        ("CardOutput", Output, set()),
        ("CardDefaults", Defaults, set()),
    ],
)
def test_a_model_has_the_fields_of_its_card(name: str, kind: type[Any], more: set[str]) -> None:
    expected = {each.name for each in fields(kind)} | more

    assert SCHEMAS[name]["properties"].keys() == expected
    assert {*SCHEMAS[name]["required"]} == expected


# ------------------------------------------------------------------------------------------- the page


def test_the_page_names_the_release_of_swagger_ui_that_is_pinned() -> None:
    lock = (PORTAL / "requirements.lock").read_text(encoding="utf-8")
    page = (PORTAL / "docs" / "index.html").read_text(encoding="utf-8")
    (release,) = re.findall(r"^drf-spectacular-sidecar==(\S+)", lock, re.MULTILINE)

    assert re.findall(r'"docs/(swagger-ui[^"?]*)\?([^"]*)"', page) == [
        ("swagger-ui.css", release),
        ("swagger-ui-bundle.js", release),
    ]
