"""A verified source file -> the ONNX graph that the catalog describes, the same bytes on every machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from archive_members import read_member, reader_of
from conversion.errors import ConversionError
from conversion.launcher import convert_tflite
from model_catalog import Entry
from vision.weights import sha256_of

if TYPE_CHECKING:
    import onnx


def make_graph(entry: Entry, source: Path, target: Path) -> None:
    """Writes an entry's graph.

    Args:
        entry: what the catalog says.
        source: one of its verified source files.
        target: where to write.

    Raises:
        ConversionError: when the source cannot be converted, or gives another graph than the catalog says.
    """
    conversion = entry.conversion
    if conversion.kind == "none":
        shutil.copyfile(source, target)
    elif conversion.kind == "tflite":
        convert_tflite(source, target, features=bool(entry.features))
    else:
        model = _converted(entry, source)
        if conversion.ranges is not None:
            from quantization.recorded import quantize_recorded  # noqa: PLC0415  # onnx takes 0.2 s to import

            quantize_recorded(model, conversion.ranges)
        target.write_bytes(model.SerializeToString(deterministic=True))
    found = sha256_of(target)
    if conversion.sha256 and found != conversion.sha256:
        raise ConversionError(
            f"{entry.id}: the graph made of {source.name} does not have the SHA-256 in the catalog "
            f"({found[:12]}, not {conversion.sha256[:12]}), so it was not measured and is not used."
        )


def _converted(entry: Entry, source: Path) -> onnx.ModelProto:
    """The float32 graph of a source that is converted here, in this process."""
    import onnx  # noqa: PLC0415  # 0.2 s, and models in place need none of it

    from conversion import efficientnet_lite, target_sizes, tfjs  # noqa: PLC0415

    conversion = entry.conversion
    member = next(each.member for each in entry.sources if each.file == source.name)
    if conversion.kind == "target-sizes":
        model = onnx.load(source)
        target_sizes.fold_target_sizes(model)
        return model
    if conversion.kind == "efficientnet-lite0":
        return efficientnet_lite.convert(read_member(source, member), member.rpartition("/")[2])
    return tfjs.convert(
        reader_of(source, member),
        name=entry.id,
        size=entry.facts["input"]["size"],
        input_name=conversion.input,
        outputs=conversion.outputs,
        constants=conversion.constants,
    )
