"""The parameters of a transform: what each may be, and that a wrong one is named."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from vision.errors import InvalidParameter
from vision.transform_parameters import TransformParameters, read_transform_parameters


def test_without_any_the_picture_is_written_anew() -> None:
    found = read_transform_parameters({})

    assert found == TransformParameters()
    assert found.ops == ()
    assert found.is_picture


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("format", "jpeg", "JPEG"),
        ("format", "jpg", "JPEG"),
        ("format", "PNG", "PNG"),
        ("format", "webp", "WEBP"),
        ("format", "avif", "AVIF"),
        ("quality", "1", 1),
        ("quality", 100, 100),
        ("background", "#fff", (255, 255, 255, 255)),
        ("background", "102030", (16, 32, 48, 255)),
        ("dpr", "2", 2.0),
        ("dpr", 1.5, 1.5),
        ("dpr", "1.3333333730697632", 1.3333333730697632),  # as browsers say it
        ("keep", "icc", ("icc",)),
        ("keep", "icc,exif", ("exif", "icc")),
        ("keep", ["exif"], ("exif",)),
        ("seed", "0", 0),
        ("seed", 2**31 - 1, 2**31 - 1),
        ("seed", "2147483647", 2**31 - 1),
        ("n", "64", 64),
        ("mask", b"\x89PNG", b"\x89PNG"),
        ("mask", base64.b64encode(b"\x89PNG").decode(), b"\x89PNG"),
        ("mask", "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode(), b"\x89PNG"),
        ("mask_fill", "255", 255),
    ],
    ids=str,
)
def test_a_value_in_any_of_its_forms_is_read(name: str, value: Any, expected: object) -> None:
    assert getattr(read_transform_parameters({name: value}), name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "gif"),
        ("format", 5),
        ("format", ""),
        ("quality", 0),
        ("quality", "101"),
        ("quality", "high"),
        ("background", "transparent"),
        ("background", "ffffff80"),
        ("background", "puce"),
        ("background", 5),
        ("dpr", "0"),
        ("dpr", "0.5"),
        ("dpr", 5),
        ("dpr", 10**400),
        ("dpr", "nan"),
        ("dpr", float("nan")),
        ("dpr", "1_0"),
        ("dpr", "٢"),
        ("dpr", True),
        ("keep", "gps"),
        ("keep", 5),
        ("keep", [5]),
        ("keep", ""),
        ("seed", "-1"),
        ("seed", 2**31),
        ("seed", "9" * 5000),
        ("n", 0),
        ("n", "65"),
        ("n", 1.5),
        ("boxes", "[[1,2]]"),
        ("mask", "not base64!"),
        ("mask", 5),
        ("mask_fill", 256),
        ("preset", ""),
        ("preset", 5),
        ("ops", "teleport"),
        ("ops", "resize:w=-5"),
        ("model", "yolox"),
        ("", "x"),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_a_wrong_value_is_a_400_that_names_the_parameter(name: str, value: object) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_transform_parameters({name: value})

    assert caught.value.parameter == name
    assert len(caught.value.detail) < 500


@pytest.mark.parametrize("name", ["n", "boxes", "mask"])
def test_what_gives_more_than_a_picture_is_known(name: str) -> None:
    values = {"n": 1, "boxes": "[]", "mask": b"png"}

    assert not read_transform_parameters({name: values[name]}).is_picture
