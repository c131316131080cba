"""Modes of more than 8 bits and of transparency, and what they cost; `test_image.py` has the formats."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vision.upright import to_rgb

RAMP = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)


def _gray(samples: NDArray[Any]) -> NDArray[np.uint8]:
    rgb = np.asarray(to_rgb(Image.fromarray(samples)))
    assert (rgb == rgb[:, :, :1]).all()
    return rgb[:, :, 0]


@pytest.mark.parametrize("peak", [1.0, 1.04, 255.0], ids=["0..1", "0..1 and a little more", "0..255"])
def test_floats_are_read_by_their_range(peak: float) -> None:
    expected = RAMP * peak * (255 if peak < 2 else 1)

    assert np.abs(_gray(RAMP * peak) - expected.clip(0, 255)).max() <= 0.5


def test_floats_that_are_no_numbers_do_not_change_the_others() -> None:
    samples = RAMP.copy()
    samples[0, :4] = np.nan, np.inf, -np.inf, np.finfo(np.float32).min

    gray = _gray(samples)

    assert gray[0, :4].tolist() == [0, 255, 0, 0]
    assert (gray[1:] == (RAMP[1:] * 255).round()).all()


def test_integers_outside_of_16_bits_are_clipped() -> None:
    samples = np.array([[-1, 0, 65535, 65536, 2**31 - 1]], np.int32)

    assert _gray(samples).tolist() == [[0, 0, 255, 255, 255]]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
@pytest.mark.parametrize("size", [(3_000_000, 2), (1, 5_000_000), (1500, 3000)], ids=str)
def test_large_images_are_whole(mode: str, size: tuple[int, int]) -> None:
    width, height = size
    gray = (np.arange(width * height) % 251).astype(np.uint8).reshape(height, width)
    samples: dict[str, NDArray[Any]] = {
        "I;16": gray.astype("<u2") << 8,
        "I;16B": gray.astype(">u2") << 8,
        "I": gray.astype(np.int32) << 8,
        "F": gray.astype(np.float32),
    }
    stored = samples[mode].astype(">u2") if mode == "I;16B" else samples[mode]
    image = Image.frombytes(mode, size, stored.tobytes())

    rgb = np.asarray(to_rgb(image))

    assert (rgb == gray[:, :, None]).all()


def test_the_transparent_gray_of_a_png_of_16_bits_is_white() -> None:
    samples = np.array([[0, 1000, 1001, 65535]], np.uint16)
    stream = io.BytesIO()
    Image.fromarray(samples).save(stream, "PNG", transparency=1000)

    with Image.open(stream) as image:
        rgb = np.asarray(to_rgb(image))

    assert rgb[0, :, 0].tolist() == [0, 255, 3, 255]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
@pytest.mark.parametrize("mode", ["RGBA", "F", "I", "I;16"])
def test_the_colours_take_little_more_memory_than_their_result(mode: str) -> None:
    # A process of its own: the peak of this one may have been higher before. `ru_maxrss` would count it too.
    script = f"""
from pathlib import Path
from PIL import Image
from vision.upright import to_rgb
def peak_mb():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
to_rgb(Image.new("{mode}", (500, 500)))
image = Image.new("{mode}", (6000, 4000), 1)
before = peak_mb()
rgb = to_rgb(image)
print(peak_mb() - before)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )

    assert float(ended.stdout) < 6000 * 4000 * 4 / 2**20 + 50
