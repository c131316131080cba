"""An exported graph -> the graph that is served: checked, folded, with named dimensions, in canonical form.

One self-contained file, or, where the weights are over 2 GB, which protobuf cannot hold, with the weights in
one file beside it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnxruntime

from conversion.canonical import all_nodes, canonicalize
from conversion.errors import ConversionError, first_line
from conversion.feature_map import add_output
from vision.runner import runtime_errors

MAX_PROTOBUF_BYTES = 2_000_000_000
_SMALLEST_EXTERNAL = 1024  # bytes of a tensor that is worth a place outside the graph
_BATCH = "batch"


def finish(
    raw: Path,
    target: Path,
    *,
    name: str,
    is_folded: bool,
    features_of: str | None = None,
    max_bytes: int = MAX_PROTOBUF_BYTES,
) -> dict[str, str]:
    """Writes the graph that is served, and gives the card's fields for the feature map.

    Args:
        raw: as the exporter wrote it, external data beside it.
        target: where to write; weights that do not fit in go to `<target>.data`.
        name: of the graph.
        is_folded: whether constants are folded and operators fused as ONNX Runtime's basic level does, which
            changes nothing that is computed; not for quantised graphs, whose pairs of nodes have a meaning.
        features_of: the output whose feature map becomes an output too; empty: the first; `None`: none does.
        max_bytes: a larger graph gets its weights beside it.

    Raises:
        ConversionError: when the graph is not valid ONNX, needs an operator that the runtime lacks, or has
            no feature map.
    """
    check(raw)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folded = Path(scratch) / "folded.onnx"
        _load(raw, folded, is_large=bytes_of(raw) > max_bytes)
        model = _inferred(folded if is_folded else raw)
    fields = {} if features_of is None else add_output(model.graph, features_of)
    _name_batch(model.graph)
    _keep_used_domains(model)
    canonicalize(model, name=name)
    save(model, target, max_bytes)
    check(target)
    return fields


def check(path: Path) -> None:
    """Holds a file against the ONNX standard.

    Raises:
        ConversionError: naming the first thing that is wrong.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        # A damaged name is no UTF-8: ValueError.
        raise ConversionError(f"{path.name} is not a valid ONNX graph: {first_line(error)}.") from error


def bytes_of(path: Path) -> int:
    """Gives the size of a graph with its external data."""
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))


def opset_of(path: Path) -> int:
    """Gives the version of ONNX's own operators that a graph was written for."""
    imports = onnx.load(path, load_external_data=False).opset_import
    return int(next(each.version for each in imports if not each.domain))


def _load(raw: Path, folded: Path, *, is_large: bool) -> None:
    """Loads a graph as the service will, and writes what the runtime's basic level makes of it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    if is_large:
        key = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(key, f"{folded.name}.data")
    try:
        onnxruntime.InferenceSession(str(raw), options, providers=["CPUExecutionProvider"])
    except runtime_errors() as error:
        raise ConversionError(f"ONNX Runtime cannot load the graph: {first_line(error)}") from error


def _inferred(path: Path) -> onnx.ModelProto:
    """The graph with the shapes of its values worked out."""
    inferred = path.with_name("inferred.onnx")
    try:
        onnx.shape_inference.infer_shapes_path(str(path), str(inferred), strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ConversionError(f"The graph's shapes contradict each other: {first_line(error)}") from error
    model = onnx.load(inferred)
    inferred.unlink()
    return model


def _name_batch(graph: onnx.GraphProto) -> None:
    """Calls the open first dimension of inputs and outputs `batch`; exporters number it."""
    for value in (*graph.input, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions and not dimensions[0].HasField("dim_value"):
            dimensions[0].dim_param = _BATCH


def _keep_used_domains(model: onnx.ModelProto) -> None:
    """ONNX Runtime writes the version of every operator set it knows, used or not."""
    used = {node.domain for node in all_nodes(model.graph)}
    kept = [each for each in model.opset_import if each.domain in {"", *used}]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def save(model: onnx.ModelProto, target: Path, max_bytes: int = MAX_PROTOBUF_BYTES) -> None:
    """Writes a graph, with its weights in `<target>.data` where they take more than `max_bytes`."""
    size = sum(len(each.raw_data) for each in model.graph.initializer)
    if size <= max_bytes:
        onnx.save(model, target)
        return
    onnx.save(
        model,
        target,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{target.name}.data",
        size_threshold=_SMALLEST_EXTERNAL,
    )
