"""Photo -> tensor, read back from a real graph: size, layout, type, channel order, normalization."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.graphs import card_document, echo_graph

from vision.card import ModelCard, parse_card
from vision.image import Picture, decode, open_photo
from vision.runner import OnnxRunner
from vision.tensor import plan, prepare

Pixels = NDArray[np.uint8]

SIZE = (24, 32)


@pytest.fixture
def picture(encode: Callable[..., bytes], photo: Pixels) -> Picture:
    return decode(open_photo(encode(photo, "PNG"), max_pixels=1_000_000))


def _card(
    *,
    layout: str = "NHWC",
    dtype: str = "uint8",
    color: str = "RGB",
    size: tuple[int, int] = SIZE,
    resize: dict[str, Any] | None = None,
    normalize: dict[str, Any] | None = None,
) -> ModelCard:
    document = card_document(
        input={"name": "image", "size": list(size), "layout": layout, "dtype": dtype, "color": color},
        resize=resize or {"mode": "stretch"},
    )
    if normalize:
        document["normalize"] = normalize
    return parse_card(document)


def _seen(folder: Path, picture: Picture, card: ModelCard) -> NDArray[np.float32]:
    """What a graph with the card's input gets, as (height, width, 3) in the card's channel order."""
    path = folder / "model.onnx"
    graph = echo_graph(card.input.size, layout=card.input.layout, dtype=card.input.dtype)
    path.write_bytes(graph.SerializeToString())
    tensor = prepare(picture, card, plan(card, picture.photo_height, picture.photo_width))
    samples = OnnxRunner(path, 1).run({"image": tensor})["scores"].reshape(-1)
    height, width = card.input.size
    if card.input.layout == "NHWC":
        return samples.reshape(height, width, 3)
    return samples.reshape(3, height, width).transpose(1, 2, 0)


def _stretched(photo: Pixels, height: int, width: int) -> Pixels:
    return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("color", ["RGB", "BGR"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_every_input_form_carries_the_same_pixels(
    *, tmp_path: Path, picture: Picture, photo: Pixels, layout: str, dtype: str, color: str
) -> None:
    card = _card(layout=layout, dtype=dtype, color=color)
    expected = _stretched(photo, *SIZE)

    seen = _seen(tmp_path, picture, card)

    assert seen.tolist() == (expected if color == "RGB" else expected[:, :, ::-1]).tolist()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 2e-2)])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_pixels_are_scaled_then_normalized_by_channel_in_the_inputs_order(
    *, tmp_path: Path, picture: Picture, photo: Pixels, layout: str, dtype: str, tolerance: float
) -> None:
    mean, std = [0.406, 0.456, 0.485], [0.225, 0.224, 0.229]
    normalize = {"scale": 1 / 255, "mean": mean, "std": std}
    card = _card(layout=layout, dtype=dtype, color="BGR", normalize=normalize)
    expected = (_stretched(photo, *SIZE)[:, :, ::-1] / 255 - np.array(mean)) / np.array(std)

    seen = _seen(tmp_path, picture, card)

    assert np.abs(seen - expected).max() < tolerance


def test_pixels_may_be_brought_to_minus_one_to_one(tmp_path: Path, picture: Picture, photo: Pixels) -> None:
    card = _card(dtype="float32", normalize={"scale": 1 / 127.5, "mean": [1, 1, 1]})

    seen = _seen(tmp_path, picture, card)

    assert np.abs(seen - (_stretched(photo, *SIZE) / 127.5 - 1)).max() < 1e-5


@pytest.mark.parametrize("filter_name", ["bilinear", "bicubic", "box", "lanczos"])
def test_the_cards_filter_is_used(tmp_path: Path, picture: Picture, photo: Pixels, filter_name: str) -> None:
    method = Image.Resampling[filter_name.upper()]
    expected = np.asarray(Image.fromarray(photo).resize((32, 24), method))

    seen = _seen(tmp_path, picture, _card(resize={"mode": "stretch", "filter": filter_name}))

    assert seen.tolist() == expected.tolist()


def test_a_crop_is_close_to_scaling_the_shorter_side_and_cutting_the_centre(
    tmp_path: Path, picture: Picture, photo: Pixels
) -> None:
    # 40 x 60 to 32 x 48, of which the central 28 x 28 are kept: the recipe for ImageNet at 256 and 224.
    scaled = Image.fromarray(photo).resize((48, 32), Image.Resampling.BILINEAR)
    expected = np.asarray(scaled.crop((10, 2, 38, 30)))
    card = _card(size=(28, 28), resize={"mode": "shorter-side-crop", "crop_fraction": 0.875})

    seen = _seen(tmp_path, picture, card)

    assert np.abs(seen - expected).max() <= 2


def test_a_letterbox_at_the_top_left_is_padded_right_and_below(
    tmp_path: Path, picture: Picture, photo: Pixels
) -> None:
    card = _card(size=(30, 30), resize={"mode": "letterbox", "position": "top-left", "pad_value": 7})

    seen = _seen(tmp_path, picture, card)

    assert seen[:20].tolist() == _stretched(photo, 20, 30).tolist()
    assert (seen[20:] == 7).all()


def test_a_centered_letterbox_is_padded_on_both_sides_before_normalization(
    tmp_path: Path, picture: Picture, photo: Pixels
) -> None:
    card = _card(dtype="float32", size=(30, 30), resize={"mode": "letterbox"}, normalize={"scale": 1 / 114})

    seen = _seen(tmp_path, picture, card)

    assert np.abs(seen[5:25] - _stretched(photo, 20, 30) / 114).max() < 1e-5
    assert np.abs(seen[:5] - 1).max() < 1e-6
    assert np.abs(seen[25:] - 1).max() < 1e-6


@pytest.mark.parametrize("mode", ["stretch", "shorter-side-crop", "letterbox"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3)], ids=str)
def test_photos_of_any_size_fit_any_input(
    encode: Callable[..., bytes], tmp_path: Path, mode: str, size: tuple[int, int]
) -> None:
    tiny = np.full((*size, 3), 200, np.uint8)
    picture = decode(open_photo(encode(tiny, "PNG"), max_pixels=1_000_000))

    seen = _seen(tmp_path, picture, _card(resize={"mode": mode, "pad_value": 200}))

    assert (seen == 200).all()


def test_preparing_leaves_the_photo_as_it_was(picture: Picture, photo: Pixels) -> None:
    card = _card(dtype="float32", size=photo.shape[:2], normalize={"scale": 2})

    prepare(picture, card, plan(card, *photo.shape[:2]))

    assert picture.rgb(10_000).tolist() == photo.tolist()
