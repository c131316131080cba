"""Tensors on the wire, held against NumPy's own bytes, the standard library's JSON and Triton's client."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as from_numpy
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype

from vision.errors import BadRequest, InvalidModel
from vision.tensors import DATATYPES, datatype, from_bytes, from_json, num_bytes, to_bytes, to_json

NAMES = tuple(DATATYPES)
INTEGERS = tuple(name for name in NAMES if "int" in name)
FLOATS = tuple(name for name in NAMES if name.startswith("float"))


def tensors(dtypes: tuple[str, ...] = NAMES) -> st.SearchStrategy[NDArray[Any]]:
    """Arrays of any type and shape, of finite numbers."""
    shapes = from_numpy.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5)

    def of(name: str) -> st.SearchStrategy[NDArray[Any]]:
        options: dict[str, Any] = {"allow_nan": False, "allow_infinity": False} if name in FLOATS else {}
        return from_numpy.arrays(name, shapes, elements=from_numpy.from_dtype(np.dtype(name), **options))

    return st.sampled_from(dtypes).flatmap(of)


def same(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Bit for bit: -0 is not 0."""
    return (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


@pytest.mark.parametrize("name", NAMES)
def test_a_type_has_the_name_that_triton_s_client_has_for_it(name: str) -> None:
    assert datatype(name, "output") == np_to_triton_dtype(np.dtype(name))


def test_a_type_that_the_protocol_does_not_know_is_the_model_s_fault() -> None:
    with pytest.raises(InvalidModel, match=r"scores: .* no name for float8e4m3fn"):
        datatype("float8e4m3fn", "scores")


@settings(max_examples=100, deadline=None)
@given(tensors())
def test_bytes_are_those_of_numpy_and_read_back(array: NDArray[Any]) -> None:
    data = to_bytes(array)

    assert sys.byteorder == "little"
    assert data == array.tobytes()
    assert same(from_bytes(memoryview(data), array.shape, array.dtype.name), array)


@settings(max_examples=100, deadline=None)
@given(tensors(), st.integers(1, 7))
def test_bytes_may_begin_anywhere_in_a_body(array: NDArray[Any], offset: int) -> None:
    data = memoryview(b"{" * offset + array.tobytes())[offset:]

    found = from_bytes(data, array.shape, array.dtype.name)

    assert same(found, array)
    assert found.flags.aligned


@settings(max_examples=100, deadline=None)
@given(tensors())
def test_numbers_in_json_read_back_bit_for_bit(array: NDArray[Any]) -> None:
    numbers = json.loads(to_json(array))

    assert len(numbers) == array.size
    assert same(np.array(numbers, array.dtype).reshape(array.shape), array)
    assert same(from_json(numbers, array.shape, array.dtype.name), array)


@settings(max_examples=100, deadline=None)
@given(tensors())
def test_lists_may_be_nested_as_the_shape_is(array: NDArray[Any]) -> None:
    nested = json.loads(json.dumps(array.tolist()))

    flat_or_nested = nested if array.ndim else [nested]  # a list has one number for no dimensions
    assert same(from_json(flat_or_nested, array.shape, array.dtype.name), array)


def test_big_endian_and_strided_arrays_leave_as_the_protocol_has_it() -> None:
    array = np.arange(12, dtype=">i4").reshape(3, 4).T

    assert to_bytes(array) == np.ascontiguousarray(array, "<i4").tobytes()
    assert json.loads(to_json(array)) == array.ravel().tolist()


def test_nothing_in_a_tensor_is_an_empty_list() -> None:
    nothing = np.empty((0, 4), np.float32)

    assert to_json(nothing) == "[]"
    assert to_bytes(nothing) == b""


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", FLOATS)
def test_what_is_not_finite_is_refused_and_never_written_as_json(name: str, value: float) -> None:
    array = np.array([0, value], name)

    with pytest.raises(ValueError, match="JSON has no word"):
        to_json(array)
    with pytest.raises(BadRequest, match="must be finite"):
        from_bytes(memoryview(array.tobytes()), (2,), name)
    with pytest.raises(BadRequest, match="must be finite"):
        from_json([0, value], (2,), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("float16", 65_520.0), ("float32", 3.5e38), ("float32", 10**400), ("float64", 10**400)],
)
def test_a_number_beyond_the_type_is_refused(name: str, value: float) -> None:
    with pytest.raises(BadRequest, match=f"range of {DATATYPES[name]}|too large for {DATATYPES[name]}"):
        from_json([value], (1,), name)


@pytest.mark.parametrize("name", INTEGERS)
def test_a_whole_number_beyond_the_type_is_refused_and_not_wrapped(name: str) -> None:
    limits = np.iinfo(name)

    assert from_json([int(limits.min), int(limits.max)], (2,), name).tolist() == [limits.min, limits.max]
    for beyond in (int(limits.min) - 1, int(limits.max) + 1, 10**400):
        with pytest.raises(BadRequest, match=f"too large for {DATATYPES[name]}"):
            from_json([beyond], (1,), name)


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        ([1, 2, None, 4], "float32", "FP32 is made of numbers, the list holds null"),
        ([1, 2, "3", 4], "float32", "the list holds texts"),
        ([1, 2, True, 4], "uint8", "UINT8 is made of whole numbers, the list holds true or false"),
        ([1, 2, 3.0, 4], "int64", "INT64 is made of whole numbers, the list holds numbers with a fraction"),
        ([1, 0, 1, 0], "bool", "BOOL is made of true and false, the list holds whole numbers"),
        ([1, 2, {}, 4], "float64", "the list holds objects"),
        ([1, 2, 3], "float32", r"\[2, 2\] are 4 numbers, the list has 3"),
        ([], "float32", r"\[2, 2\] are 4 numbers, the list has 0"),
        ([[1, 2], [3]], "float32", r"not nested as \[2, 2\] is, at depth 2"),
        ([[1, 2], 3, 4], "float32", "not nested"),
        ([[1, 2], [3, 4], [5, 6]], "float32", "at depth 1"),
        ([[1, 2], [3, [4]]], "float32", "the list holds lists"),
        ([[[1], [2]], [[3], [4]]], "float32", "the list holds lists"),
        ({"0": 1}, "float32", "must be a list of numbers, not dict"),
        ("AAAA", "uint8", "must be a list of numbers, not str"),
        (None, "uint8", "must be a list of numbers, not NoneType"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(data: object, name: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        from_json(data, (2, 2), name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [-1, 1])
def test_bytes_that_are_not_as_many_as_the_shape_takes_are_refused(name: str, change: int) -> None:
    right = num_bytes((2, 3), name)

    with pytest.raises(BadRequest, match=f"are {right} bytes, there are {right + change}"):
        from_bytes(memoryview(bytes(right + change)), (2, 3), name)


def test_a_byte_of_bool_is_0_or_1() -> None:
    assert from_bytes(memoryview(b"\x00\x01"), (2,), "bool").tolist() == [False, True]
    with pytest.raises(BadRequest, match="0 or 1"):
        from_bytes(memoryview(b"\x00\x02"), (2,), "bool")
