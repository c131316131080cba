"""ONNX Runtime: arrays in, arrays out. The only place that knows it.

The options are chosen by measurement (two cores, onnxruntime 1.32, medians of 60 runs):

- Threads that spin while they wait for work: MobileNetV2 int8 6.9 ms against 8.5 without, YOLOX-nano 10.6
  against 16.8 on two threads; no difference on one, where none spin.
- The memory arena: no slower than none, and less memory, not more: DeepLabV3 at 513 peaks at 151 MB with it
  and 200 MB without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import onnxruntime
from numpy.typing import NDArray

from vision.errors import InvalidModel, VisionError
from vision.frozen import dataclass

# Warnings of the runtime (4 are fatal, 3 errors) are about the graph, not the request.
onnxruntime.set_default_logger_severity(3)

_NO_MEMORY = (
    "takes more memory to load than the function has, about three times its size: raise its MemorySize, "
    "or keep the weights in external_data, which takes twice"
)

Outputs = Mapping[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Signature:
    """An input or output of a graph; a dimension that the graph leaves open is -1."""

    dtype: str
    shape: tuple[int, ...]


class Runner(Protocol):
    """What runs a graph."""

    @property
    def inputs(self) -> Mapping[str, Signature]:
        """The graph's inputs by name."""

    @property
    def outputs(self) -> Mapping[str, Signature]:
        """The graph's outputs by name."""

    def run(self, tensors: Mapping[str, NDArray[Any]], names: Sequence[str] = ()) -> Outputs:
        """Gives the graph's outputs of those names; of no names, those that an answer is read from."""


class OnnxRunner:
    """One ONNX Runtime session on the CPU.

    Args:
        path: the ONNX file.
        num_threads: threads that share one run.
        features: the output that no answer is read from, and that is given only when named; may be empty.

    Raises:
        InvalidModel: when the file is no graph that the runtime can load.
    """

    def __init__(self, path: Path, num_threads: int, features: str = "") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Else a file could be of the runtime's own format, which `weights.py` does not read.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except runtime_errors() as error:
            if "bad_alloc" in str(error):
                raise InvalidModel(f"{path.name}: {_NO_MEMORY}") from error
            raise InvalidModel(f"{path.name}: ONNX Runtime cannot load it: {error}") from error
        self.inputs: Mapping[str, Signature] = {
            each.name: _signature(each) for each in self._session.get_inputs()
        }
        self.outputs: Mapping[str, Signature] = {
            each.name: _signature(each) for each in self._session.get_outputs()
        }
        self._names = [name for name in self.outputs if name != features]

    def run(self, tensors: Mapping[str, NDArray[Any]], names: Sequence[str] = ()) -> Outputs:
        """Gives the graph's outputs of those names; of no names, those that an answer is read from.

        Raises:
            VisionError: when the runtime fails.
        """
        try:
            wanted = names or self._names
            arrays = self._session.run(wanted, dict(tensors))
        except runtime_errors() as error:
            raise VisionError("the model failed on this image") from error
        return dict(zip(wanted, arrays, strict=True))


def _signature(node: Any) -> Signature:
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    name = node.type.removeprefix("tensor(").removesuffix(")")
    return Signature({"float": "float32", "double": "float64"}.get(name, name), shape)


def runtime_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its exceptions share no class of their own."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    return (
        state.EngineError,
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoModel,
        state.NoSuchFile,
        state.NotFound,
        state.NotImplemented,
        state.RuntimeException,
        state.EPFail,
    )
