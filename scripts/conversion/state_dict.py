"""Reads the tensors of a file that `torch.save(model.state_dict(), file)` wrote, without PyTorch.

A checkpoint is a pickle, and a pickle may call anything. Here the few calls that rebuild tensors are our own
functions, and every other call is refused by its name.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conversion.errors import ConversionError

Array = NDArray[Any]
# PyTorch's format before 1.6: five pickles one after the other, then the storages. The first is this number.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES: Mapping[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


@dataclass(frozen=True, slots=True)
class _StorageType:
    """Stands for `torch.FloatStorage` and its kin in the pickle."""

    dtype: np.dtype[Any]


@dataclass(slots=True)
class _Storage:
    """A run of numbers that tensors are views of. The old format has its content after the pickles."""

    dtype: np.dtype[Any]
    count: int
    values: Array | None = None


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor: where it lies in its storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(data: bytes, name: str) -> dict[str, Array]:
    """Returns the tensors of a checkpoint by name, in its order.

    Args:
        data: the file, in the format of PyTorch 1.6 and later (a zip archive) or in the one before.
        name: of the file, for errors.

    Returns:
        C-contiguous arrays of the checkpoint's shapes and dtypes.

    Raises:
        ConversionError: when the file is neither, is damaged, holds anything but a state dict, or calls code.
    """
    try:
        found = _read_archive(data) if data.startswith(b"PK") else _read_old(data)
    except ConversionError as error:
        raise ConversionError(f"{name} {error}") from None
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        UnicodeDecodeError,
    ) as error:
        raise ConversionError(f"{name} is damaged, or no file that torch.save writes.") from error
    if not isinstance(found, Mapping) or not found:
        raise ConversionError(
            f"{name} holds no state dict: save one with torch.save(model.state_dict(), ...)."
        )
    if odd := [key for key, value in found.items() if not isinstance(value, _View)]:
        raise ConversionError(f"{name} holds {odd[0]!r}, which is no tensor: save model.state_dict() alone.")
    return {str(key): _array(view, name) for key, view in found.items()}


def _read_archive(data: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        (described,) = [each for each in names if each.endswith("/data.pkl")]
        folder = described.removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise ConversionError("was written on a big-endian machine, which is not read here.")

        def storage(key: str, dtype: np.dtype[Any], count: int) -> _Storage:
            return _Storage(dtype, count, _numbers(archive.read(f"{folder}data/{key}"), dtype, count))

        return _Reader(io.BytesIO(archive.read(described)), storage).load()


def _read_old(data: bytes) -> Any:
    file = io.BytesIO(data)
    storages: dict[str, _Storage] = {}

    def storage(key: str, dtype: np.dtype[Any], count: int) -> _Storage:
        return storages.setdefault(key, _Storage(dtype, count))

    def load() -> Any:
        return _Reader(file, storage).load()

    if load() != _OLD_MAGIC:
        raise pickle.UnpicklingError
    load()  # the version of the format
    if not load()["little_endian"]:
        raise ConversionError("was written on a big-endian machine, which is not read here.")
    found = load()
    for key in load():
        each = storages[key]
        count = int.from_bytes(file.read(8), "little")
        if count != each.count:
            raise ValueError
        each.values = _numbers(file.read(count * each.dtype.itemsize), each.dtype, count)
    return found


def _numbers(data: bytes, dtype: np.dtype[Any], count: int) -> Array:
    return np.frombuffer(data, dtype, count)  # ValueError: fewer bytes than announced


class _Reader(pickle.Unpickler):
    """Unpickles what a state dict is made of, and refuses to import anything."""

    def __init__(self, file: io.BytesIO, storage: Callable[[str, np.dtype[Any], int], _Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        if (module, name) in _REBUILDERS:
            return _REBUILDERS[module, name]
        raise ConversionError(
            f"holds code, not weights alone: to read it is to run {module}.{name}, and nothing was run. "
            "Who has the model saves its weights with torch.save(model.state_dict(), ...)."
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _device, count = pid[:5]
        if kind != "storage" or (len(pid) > 5 and pid[5] is not None):
            raise pickle.UnpicklingError
        return self._storage(str(key), storage_type.dtype, int(count))


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _View:
    return _View(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _View, *_: object) -> _View:
    return tensor


_REBUILDERS: Mapping[tuple[str, str], Callable[..., _View]] = {
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


def _array(view: _View, name: str) -> Array:
    values = view.storage.values
    last = view.offset + sum((side - 1) * step for side, step in zip(view.shape, view.strides, strict=True))
    is_outside = min((view.offset, *view.strides, *view.shape)) < 0 or (
        0 not in view.shape and (values is None or last >= len(values))
    )
    if is_outside or values is None:
        raise ConversionError(f"{name} is damaged: a tensor reaches beyond its storage.")
    steps = tuple(step * values.itemsize for step in view.strides)
    return np.array(
        np.lib.stride_tricks.as_strided(values[view.offset :], view.shape, steps, writeable=False)
    )
