"""Keras models: `keras:vgg16` and the rest of keras.applications, or `keras:FILE` (.keras, .h5)."""

from __future__ import annotations

import inspect
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from conversion.affine import describe
from conversion.errors import ConversionError, first_line
from conversion.keras_graph import INPUT, export
from conversion.original import Original, Pixels, Tensor
from conversion.sources import Wish, settle_size

_FILES = {".keras", ".h5", ".hdf5"}
_PUBLISHED_SIZE = (224, 224)  # of the applications that leave the size of their input open
_IMAGENET_CLASSES = 1000
_SCALING_LAYERS, _FIRST_LAYERS = {"Rescaling", "Normalization"}, 4
# What Keras, h5py and zipfile raise for a damaged file or one that is none of theirs.
_REFUSALS = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError),
    *(OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error),
)


def load(wish: Wish) -> Original:
    """Gives a Keras model, of a file or of keras.applications.

    Raises:
        ConversionError: when there is no such model, or its file or weights cannot be read.
    """
    if Path(wish.where).suffix in _FILES:
        if wish.weights or wish.arguments:
            raise ConversionError("The file has its weights: leave out --weights and --argument.")
        return _original(_read(Path(wish.where)), wish.size, {"source": Path(wish.where).name}, wish.opset)
    model, normalize = _build(wish)
    weights = Path(wish.weights or "imagenet").name
    facts: dict[str, Any] = {
        "source": f"keras.applications, weights: {weights}",
        "description": f"{model.name} of keras.applications.",
        "resize": {"mode": "shorter-side-crop"},
        "preprocessing": describe(normalize, channels=3),
    }
    if model.output_shape[-1] == _IMAGENET_CLASSES:
        facts["labels"] = "imagenet"
    is_open = None in model.input_shape[1:3]
    size = wish.size or (_PUBLISHED_SIZE if is_open else None)
    return _original(model, size, facts, wish.opset, normalize)


def _original(
    model: Any,
    size: tuple[int, int] | None,
    facts: dict[str, Any],
    opset: int,
    normalize: Callable[[Pixels], Tensor] | None = None,
) -> Original:
    height, width = _size(model, size)
    names = _output_names(model)
    preprocessing = facts.pop("preprocessing", {"input": {}})
    name = INPUT if INPUT not in names else f"{INPUT}_pixels"
    tensor = {"name": name, "size": [height, width], "layout": "NHWC", "dtype": _dtype(model)}
    return Original(
        facts={
            "description": f"The Keras model {model.name}.",
            "scales_itself": _scaling_layer(model),
            **facts,
            **preprocessing,
            "input": {**tensor, **preprocessing["input"]},
            "output": {"layout": "NHWC"},
        },
        run=lambda tensors: _run(model, names, tensors),
        export=lambda path: export(model, tensor, names, path, opset),
        normalize=normalize,
    )


def _read(path: Path) -> Any:
    """The model in a file, loaded by the version of Keras that wrote it.

    Keras 3 takes files of Keras 2, but fails on some of its layers.
    """
    if not path.is_file():
        raise ConversionError(f"There is no file {path}.")
    try:
        if _version(path).startswith("2."):
            import tf_keras  # noqa: PLC0415  # 3 s, for old files only

            return tf_keras.models.load_model(path, compile=False, safe_mode=True)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except _REFUSALS as error:
        if "safe_mode" in str(error):
            raise ConversionError(
                f"{path.name} has a Lambda layer, code that loading would run: build it of other layers."
            ) from error
        raise ConversionError(f"Keras cannot load {path.name}: {first_line(error)}.") from error


def _version(path: Path) -> str:
    """The version of Keras that wrote a file; empty where it does not say."""
    if path.suffix == ".keras":
        if not zipfile.is_zipfile(path):
            raise ConversionError(f"{path.name} is no .keras file.")
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
    with h5py.File(path) as file:
        return str(file.attrs.get("keras_version", ""))


def _build(wish: Wish) -> tuple[Any, Callable[[Pixels], Tensor]]:
    """A model of keras.applications, and what its module does with pixels."""
    factories = {name.lower(): name for name in dir(keras.applications) if name[0].isupper()}
    name = factories.get(wish.where.lower().replace("_", "").replace("-", ""))
    if name is None and ("/" in wish.where or Path(wish.where).exists()):
        raise ConversionError(f"{wish.where} is no {', '.join(sorted(_FILES))} file, which Keras writes.")
    if name is None:
        raise ConversionError(
            f"keras.applications has no {wish.where!r}; it has {', '.join(sorted(factories))}."
        )
    weights = wish.weights or "imagenet"
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise ConversionError(f"--weights takes imagenet, none or a file; there is no file {weights}.")
    arguments = dict(wish.arguments)
    if wish.size:
        arguments["input_shape"] = (*wish.size, 3)
    factory = getattr(keras.applications, name)
    try:
        model = factory(weights=None if weights == "none" else weights, **arguments)
    except _REFUSALS as error:
        raise ConversionError(
            f"{name} cannot be built with weights {weights}: {first_line(error)}."
        ) from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        # A download that fails is, in Keras, an exception of no class of its own.
        raise ConversionError(
            f"{first_line(error)}: connect to the network, or name a file or none with --weights."
        ) from error
    module: Any = inspect.getmodule(inspect.unwrap(factory))
    return model, lambda pixels: np.asarray(module.preprocess_input(pixels.astype(np.float32)))


def _size(model: Any, size: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the input: the model's own, or those to give it where it leaves them open."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3:
        raise ConversionError(
            f"The model takes {shape}; the service feeds it RGB images, (batch, height, width, 3)."
        )
    return settle_size(shape[1:3], size)


def _scaling_layer(model: Any) -> str:
    """The layer that scales pixels, among the model's first ones; empty: there is none."""
    first = list(getattr(model, "layers", ()))[:_FIRST_LAYERS]
    names = [type(layer).__name__ for layer in first if type(layer).__name__ in _SCALING_LAYERS]
    return names[0] if names else ""


def _dtype(model: Any) -> str:
    """The element type of the input; Keras casts float32 to what other floats a model computes with."""
    dtype = str(getattr(model.inputs[0].dtype, "name", model.inputs[0].dtype))
    if dtype != "uint8" and "float" not in dtype:
        raise ConversionError(f"The model takes {dtype}; the service feeds uint8 or float32.")
    return dtype if dtype == "uint8" else "float32"


def _output_names(model: Any) -> list[str]:
    """The names of the layers that give the outputs; a layer that gives several has a number added."""
    names = [str(name) for name in getattr(model, "output_names", None) or [model.layers[-1].name]]
    return names if len({*names}) == len(names) else [f"{name}_{n}" for n, name in enumerate(names)]


def _run(model: Any, names: list[str], tensors: Tensor) -> dict[str, Tensor]:
    outputs = model.predict_on_batch(tensors)
    arrays = [outputs] if isinstance(outputs, np.ndarray) else list(keras.tree.flatten(outputs))
    return dict(zip(names, map(np.asarray, arrays), strict=True))
