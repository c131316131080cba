"""Thumbnails of large photos: fast, and the same to the eye as those made of every pixel."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import pyvips
from PIL import Image
from skimage import data
from skimage.metrics import structural_similarity

from vision.chain import read_chain
from vision.encoding import encode_raster
from vision.image import open_photo
from vision.plan import make_plan
from vision.raster import apply, read_raster

WIDTH = 320
MAX_PIXELS = 50_000_000
PHOTOS = {"astronaut": (4000, 3000), "coffee": (4000, 2667), "rocket": (4000, 2669), "chelsea": (4001, 3003)}


def _photo(name: str) -> Image.Image:
    """A photo of 12 megapixels, with the noise that a camera adds."""
    small = Image.fromarray(getattr(data, name)())
    pixels = np.asarray(small.resize(PHOTOS[name], Image.Resampling.BICUBIC)).astype(np.int16)
    noise = np.random.default_rng(1).normal(0, 2, pixels.shape).astype(np.int16)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()


@pytest.fixture(scope="module", params=PHOTOS)
def photo(request: pytest.FixtureRequest) -> bytes:
    return _jpeg(_photo(request.param))


def _ours(photo: bytes) -> bytes:
    opened = open_photo(photo, max_pixels=MAX_PIXELS)
    plan = make_plan(read_chain(f"resize:w={WIDTH}"), opened.width, opened.height, max_pixels=MAX_PIXELS)
    return encode_raster(apply(read_raster(opened, plan.steps), plan.steps), "JPEG")


def _by_pillow(photo: bytes) -> bytes:
    """Open, resize, save: every pixel is decoded."""
    image = Image.open(io.BytesIO(photo))
    return _jpeg(image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS))


def _by_vips(photo: bytes) -> bytes:
    thumbnail = pyvips.Image.thumbnail_buffer(photo, WIDTH)
    made: bytes = thumbnail.jpegsave_buffer(Q=85)
    return made


def test_a_thumbnail_looks_as_if_every_pixel_had_been_decoded(photo: bytes) -> None:
    ours, expected = (np.asarray(Image.open(io.BytesIO(each))) for each in (_ours(photo), _by_pillow(photo)))

    assert ours.shape == expected.shape
    assert structural_similarity(ours, expected, channel_axis=2) >= 0.98


def test_a_photo_whose_sides_are_no_multiples_of_eight_is_not_moved() -> None:
    # A bright band every 500 rows: where its middle lies in the thumbnail tells where the rows went.
    rows = np.zeros((2250, 1, 1), np.uint8)
    for top in (500, 1000, 1500, 2000):
        rows[top : top + 40] = 255
    photo = _jpeg(Image.fromarray(np.broadcast_to(rows, (2250, 3999, 3))))

    brightness = np.asarray(Image.open(io.BytesIO(_ours(photo))).convert("L"), float).mean(axis=1)

    assert len(brightness) == 180
    for top in (500, 1000, 1500, 2000):
        middle = (top + 20) * WIDTH / 3999
        part = slice(round(middle) - 10, round(middle) + 10)
        places = np.arange(180)[part] + 0.5
        assert (places * brightness[part]).sum() / brightness[part].sum() == pytest.approx(middle, abs=0.1)


def test_a_thumbnail_takes_a_quarter_of_plain_pillow_and_no_longer_than_vips() -> None:
    photo = _jpeg(_photo("astronaut"))

    seconds = _cpu_seconds({"ours": _ours, "Pillow": _by_pillow, "vips": _by_vips}, photo)

    assert seconds["ours"] <= seconds["Pillow"] / 4
    assert seconds["ours"] <= 1.5 * seconds["vips"]


def _cpu_seconds(
    ways: Mapping[str, Callable[[bytes], bytes]], photo: bytes, times: int = 9
) -> dict[str, float]:
    """The least CPU time of each way, of all its threads: a busy machine takes turns, and adds to some."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(times):
        for name, way in ways.items():
            start = time.process_time()
            way(photo)
            seconds[name].append(time.process_time() - start)
    return {name: min(each) for name, each in seconds.items()}
