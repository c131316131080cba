"""The Open Inference Protocol (V2), which clients of Triton and KServe speak: tensors in, tensors out.

No photo here: whoever sends a tensor has prepared it as the card says, and reads what the graph gives.
"""

from __future__ import annotations

import math

from vision import __version__, replies
from vision.body import read_bytes
from vision.card import ModelCard
from vision.coding import unpack
from vision.errors import BadRequest, VisionError
from vision.infer_body import HEADER_LENGTH, split_body
from vision.infer_reply import EXPANSION, infer_reply
from vision.infer_request import InferRequest, read_infer_request
from vision.models import Model, Models
from vision.replies import Json
from vision.request import HttpCall, Reply
from vision.runner import Outputs, Signature
from vision.settings import Settings
from vision.telemetry import Stopwatch, count_image
from vision.tensors import datatype

PLATFORM = "onnxruntime_onnx"  # of the names that the protocol knows platforms by
EXTENSIONS = ("binary_tensor_data",)
# Of the card's size in one tensor; what takes longer than an answer may is refused before it runs.
MAX_PICTURES = 32

_ADVICE = "send fewer pictures at once, as binary data, or packed (Content-Encoding: gzip)"


class OpenInference:
    """The routes under `/v2`.

    Args:
        settings: limits.
        models: of all tasks.
    """

    def __init__(self, settings: Settings, models: Models) -> None:
        self._settings = settings
        self._models = models

    def show_server(self, _call: HttpCall, _watch: Stopwatch) -> Reply:
        """The server metadata."""
        return replies.json_reply({"name": "vision", "version": __version__, "extensions": list(EXTENSIONS)})

    def is_live(self, _call: HttpCall, _watch: Stopwatch) -> Reply:
        """Whether there is a server."""
        return replies.json_reply({"live": True})

    def is_ready(self, _call: HttpCall, _watch: Stopwatch) -> Reply:
        """Whether the models can be found; each is loaded when it is first used.

        Raises:
            Unavailable, InvalidSettings: when they cannot.
        """
        _ = self._models.cards
        return replies.json_reply({"live": True, "ready": True})

    def show_model(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """The metadata of a model, read from its graph."""
        model = self._model(call)
        return replies.json_reply(
            {
                "name": model.card.id,
                "versions": [model.card.version],
                "platform": PLATFORM,
                "inputs": [_tensor(name, each) for name, each in model.runner.inputs.items()],
                "outputs": [_tensor(name, each) for name, each in model.runner.outputs.items()],
            }
        )

    def is_model_ready(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """Whether a model can run, which is known once it is loaded."""
        model = self._model(call)
        return replies.json_reply({"name": model.card.id, "ready": True})

    def infer(self, call: HttpCall, watch: Stopwatch) -> Reply:
        """Runs a model on tensors."""
        model = self._model(call)
        watch.facts["model"] = model.card.id
        with watch.stage("decode"):
            request = self._read(call, model)
        with watch.stage("inference"):
            outputs = _run(model, request)
        with watch.stage("encode"):
            accept = call.headers.get("accept-encoding", "")
            reply = infer_reply(model.card, request, outputs, accept, self._settings.max_bytes)
        count_image(watch)
        return reply

    def _model(self, call: HttpCall) -> Model:
        card = self._models.card(call.path.split("/")[3])  # /v2/models/{id}...
        return self._models.get(card, seconds=self._settings.fetch_s)

    def _read(self, call: HttpCall, model: Model) -> InferRequest:
        max_bytes = self._settings.max_bytes
        sent = read_bytes(call, max_bytes, what="a JSON object with inputs", advice=_ADVICE)
        data = unpack(sent, call.headers.get("content-encoding", ""), max_bytes * EXPANSION)
        document, tail = split_body(data, call.headers.get(HEADER_LENGTH), max_bytes)
        inputs, outputs = model.runner.inputs, model.runner.outputs
        return read_infer_request(document, tail, inputs, outputs, MAX_PICTURES * _elements(model.card))


def _tensor(name: str, signature: Signature) -> dict[str, Json]:
    return {
        "name": name,
        "datatype": datatype(signature.dtype, name),
        "shape": list(signature.shape),
    }


def _run(model: Model, request: InferRequest) -> Outputs:
    try:
        return model.runner.run(request.tensors, [each.name for each in request.outputs])
    except VisionError as error:
        (tensor,) = request.tensors.values()
        if tensor.size == _elements(model.card):
            raise
        # A graph may leave a size open that its inside has not.
        height, width = model.card.input.size
        raise BadRequest(
            f"the model cannot run on {list(tensor.shape)}; it is made for one picture of {height} x {width}"
        ) from error


def _elements(card: ModelCard) -> int:
    """How many numbers a picture of the card's size is."""
    return math.prod(card.input.size) * 3
