"""The OpenAPI document as it reads for one deployment: with the models that it has, by name."""

from __future__ import annotations

import copy
from typing import Any

# By task: prefix of its shared parameters, prefixes of its schemas, model and labels (tests/graphs.py).
_TASKS = {
    "classification": (
        "Classification",
        ("Classify", "HfImageClassification"),
        "colors",
        ("red", "green", "blue"),
    ),
    "detection": ("Detection", ("Detect", "HfObjectDetection"), "boxes", ("cat", "dog")),
    "segmentation": (
        "Segmentation",
        ("Segment", "HfImageSegmentation"),
        "channels",
        ("red", "green", "blue"),
    ),
}
PRESETS = ("thumbnail", "web", "square")
# The grammar is tested elsewhere (tests/unit/test_chain.py): here are chains that fit the photo.
CHAINS = (
    "resize:w=30",
    "crop:w=20,h=10|flip",
    "rotate:15|grayscale",
    "random-flip|randaugment|blur:1",
    "pad:4",
)
# Of the seven formats of photos; tests/unit/test_image.py reads the others.
_LEFT_OUT = ("image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/avif")


def deployed(document: dict[str, Any]) -> dict[str, Any]:
    """The document, with the names that only a deployment knows in place of `any name`."""
    document = copy.deepcopy(document)
    parameters, schemas = document["components"]["parameters"], document["components"]["schemas"]
    _keep_for_later(schemas)
    for prefix, titles, model, labels in _TASKS.values():
        _choose(parameters[f"{prefix}Model"]["schema"], model)
        _choose(parameters[f"{prefix}Labels"]["schema"]["items"], *labels)
        form = schemas[f"{titles[0]}Form"]["properties"]
        _choose(form["model"], model)
        _choose(form["labels"], *labels, ",".join(labels))
        for title in titles:
            _choose(schemas[f"{title}Parameters"]["properties"]["model"], model, None)
            _labels(schemas[f"{title}Parameters"]["properties"]["labels"], labels)
    _choose(parameters["TransformPreset"]["schema"], *PRESETS)
    _choose(schemas["TransformForm"]["properties"]["preset"], *PRESETS)
    _choose(schemas["TransformParameters"]["properties"]["preset"], *PRESETS, None)
    for chains in (parameters["TransformOps"]["schema"], schemas["TransformForm"]["properties"]["ops"]):
        chains["enum"] = list(CHAINS)
    _leave_formats_out(document["paths"])
    return document


def _keep_for_later(schemas: dict[str, Any]) -> None:
    """Jobs and batches are made where no model or preset is known: names show when the work is done."""
    for name in ("NewJob", "NewBatch"):
        for variant in schemas[name]["oneOf"]:
            part = variant["properties"]["parameters"]["anyOf"][0]
            own = part["$ref"].rsplit("/", 1)[1]
            schemas[f"Later{own}"] = copy.deepcopy(schemas[own])
            part["$ref"] = f"#/components/schemas/Later{own}"


def _leave_formats_out(paths: dict[str, Any]) -> None:
    for operations in paths.values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            for content_type in _LEFT_OUT:
                content.pop(content_type, None)


def _choose(schema: dict[str, Any], *names: str | None) -> None:
    schema.pop("pattern", None)
    schema["enum"] = list(names)


def _labels(schema: dict[str, Any], labels: tuple[str, ...]) -> None:
    """As a list, or as text with commas."""
    description = schema["description"]
    schema.clear()
    schema |= {
        "description": description,
        "anyOf": [
            {
                "type": "array",
                "items": {"type": "string", "enum": list(labels)},
                "minItems": 1,
                "maxItems": 1000,
            },
            {"type": "string", "enum": [*labels, ",".join(labels)]},
            {"type": "null"},
        ],
    }
