"""What Schemathesis must know of this service to call it sensibly; SCHEMATHESIS_HOOKS names this file."""

from __future__ import annotations

import base64
import io
from typing import Any

import schemathesis
from hypothesis import strategies as st
from PIL import Image
from schemathesis import Case, HookContext
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response

FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/avif": "AVIF",
}
# Runs of a model that an explanation may take here: the service is tested, not the models.
MAX_BUDGET = 40


def encoded(name: str, mode: str = "RGB") -> bytes:
    """A picture of a gradient."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((60, 40)).convert(mode).save(stream, name)
    return stream.getvalue()


PHOTOS = {content_type: encoded(name) for content_type, name in FORMATS.items()}
for content_type, photo in PHOTOS.items():
    schemathesis.openapi.media_type(content_type, st.just(photo))
schemathesis.openapi.media_type("application/octet-stream", st.sampled_from(list(PHOTOS.values())))
# One that is a photo and a mask of class ids alike.
GRAY = encoded("PNG", mode="L")
schemathesis.openapi.format("binary", st.just(GRAY))
schemathesis.openapi.format("byte", st.just(base64.b64encode(GRAY).decode()))


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """A parameter once, in the query or in the body; a preset or operations; few runs of a model."""
    carried, query = _carried(case.body), case.query or {}
    for name in [name for name in query if name in carried]:
        del query[name]
    if case.path == "/v1/transform" and ("preset" in query or "preset" in carried):
        query.pop("ops", None)
        carried.pop("ops", None)
    if case.path == "/v1/explain":
        for holder in (query, carried):
            if _is_number(holder.get("budget")):
                holder["budget"] = min(holder["budget"], MAX_BUDGET)
        if "budget" not in query and "budget" not in carried:
            query["budget"] = MAX_BUDGET


# What a parameter may be beside its bounds: by whether it fits the photo (operations, variants, masks), the
# model (classes, boxes, methods of explanations) or other values (edges of a box, least and greatest of what
# is drawn, a preset and its operations, a batch and its key). JSON Schema has no words for these; the answer
# must name the parameter.
_RELATIONS = {
    "/v1/transform": {"ops", "n", "boxes", "mask", "format"},
    "/v1/explain": {"class_id", "label", "box", "method"},
    "/v1/jobs": {"ops", "boxes"},
    "/v1/batches": {"ops", "boxes", "Idempotency-Key"},
    # Tensors are what the model's graph takes, in JSON or as bytes behind it.
    "/v2/models/{id}/infer": {"inputs", "outputs", "Inference-Header-Content-Length", ""},
}


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Passes over valid requests that are refused for what no schema says, and nothing else."""
    if response.status_code == 431:
        return False  # of the server, to an address of 256 KB; the service is not asked
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 400:
        return True
    # inputs[0].shape is a part of inputs.
    parameter = response.json().get("parameter", "").partition("[")[0]
    return parameter not in _RELATIONS.get(case.path, ())


def _carried(body: Any) -> dict[str, Any]:
    """The parameters in a body."""
    if not isinstance(body, dict):
        return {}
    if "image" in body and "parameters" not in body:
        return body
    found = body.get("parameters")
    return found if isinstance(found, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
