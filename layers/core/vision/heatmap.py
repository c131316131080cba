"""An explanation drawn on its photo, with a legend below."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vision.draw import Font, lettering
from vision.explanation import Explanation
from vision.perturb import scale_up

# Every fifteenth colour of Matplotlib's inferno (van der Walt and Smith, CC0): equal steps of heat
# look equal, also in gray and to the colour-blind.
_INFERNO = (
    "000004 0a0722 1e0c45 380962 510e6c 69166e 801f6c 982766 b0315b c63d4d d94d3d e9612b f47918 fa9407"
    " fcb014 f8cd37 f2ea69 fcffa4"
)
_LEAST_ALPHA, _MOST_ALPHA = 0.3, 0.8  # of the colours over the photo, at the lowest and the highest heat
_UNSEEN = 0.4  # of the photo's brightness is left where the model did not look
_INK, _PAPER = (0, 0, 0), (255, 255, 255)
_MIN_WIDTH = 320  # of the page: on a narrower one nobody could read the legend


def color_map() -> NDArray[np.uint8]:
    """The colours of heat from lowest to highest, (256, 3) uint8."""
    anchors = np.array([list(bytes.fromhex(color)) for color in _INFERNO.split()])
    places = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), places, anchors[:, channel]) for channel in range(3)]
    colors: NDArray[np.uint8] = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return colors


def overlay(explanation: Explanation) -> NDArray[np.uint8]:
    """Gives the photo of an explanation under its heat map, with a legend below it: (h, w, 3) uint8.

    The photo is as large as `explanation.rgb`; beside one of less than 320 pixels is white.
    """
    image = Image.fromarray(explanation.rgb)
    across, down = image.width / explanation.width, image.height / explanation.height
    xmin, ymin, xmax, ymax = explanation.seen
    left, top = round(xmin * across), round(ymin * down)
    right, bottom = max(left + 1, round(xmax * across)), max(top + 1, round(ymax * down))
    levels = np.rint(scale_up(scaled(explanation).astype(np.float32), (bottom - top, right - left)) * 255)
    steps = levels.astype(np.uint8)
    heat = Image.fromarray(color_map()[steps])
    alpha = Image.fromarray(_alphas()[steps])
    picture = image.point(lambda value: value * _UNSEEN)
    picture.paste(image.crop((left, top, right, bottom)), (left, top))
    picture.paste(heat, (left, top), alpha)
    font, line = lettering(*image.size)
    if explanation.target.box:
        edges = np.array(explanation.target.box) * (across, down, across, down)
        _frame(ImageDraw.Draw(picture), edges.tolist(), line)
    return np.asarray(_with_legend(picture, explanation, font))


def scaled(explanation: Explanation) -> NDArray[np.float64]:
    """The heat on a scale from 0 at the lowest to 1 at the highest; all 0 where there is no difference."""
    low, high = float(explanation.heat.min()), float(explanation.heat.max())
    return (explanation.heat - low) / (high - low) if high > low else np.zeros_like(explanation.heat)


def _alphas() -> NDArray[np.uint8]:
    return np.rint(np.linspace(_LEAST_ALPHA, _MOST_ALPHA, 256) * 255).astype(np.uint8)


def _frame(draw: ImageDraw.ImageDraw, edges: list[float], line: int) -> None:
    """A white frame with a black one inside, which can be seen on any ground."""
    xmin, ymin, xmax, ymax = edges
    draw.rectangle((xmin, ymin, max(xmin, xmax - 1), max(ymin, ymax - 1)), outline=_PAPER, width=line)
    if min(xmax - xmin, ymax - ymin) > 4 * line:
        inside = (xmin + line, ymin + line, xmax - 1 - line, ymax - 1 - line)
        draw.rectangle(inside, outline=_INK, width=max(1, line // 2))


def _with_legend(picture: Image.Image, explanation: Explanation, font: Font) -> Image.Image:
    """The picture above a strip: what was explained, and a colour bar from lowest to highest heat."""
    left, top, _, bottom = ImageDraw.Draw(picture).textbbox((0, 0), "Ag0", font=font)
    height = round(bottom - top)
    pad = max(4, height // 2)
    width = max(_MIN_WIDTH, picture.width)
    page = Image.new("RGB", (width, picture.height + 2 * height + 3 * pad), _PAPER)
    page.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(page)
    first, second = picture.height + pad, picture.height + 2 * pad + height
    draw.text((pad - left, first - top), _caption(draw, explanation, font, page.width - 2 * pad), _INK, font)
    low, high = f"{explanation.heat.min():+.3f}", f"{explanation.heat.max():+.3f}"
    bar_left = pad + round(draw.textlength(low, font=font)) + pad
    bar_right = page.width - pad - round(draw.textlength(high, font=font)) - pad
    draw.text((pad - left, second - top), low, _INK, font)
    draw.text((bar_right + pad - left, second - top), high, _INK, font)
    bar = Image.fromarray(color_map()[None]).resize((max(1, bar_right - bar_left), height))
    page.paste(bar, (bar_left, second))
    return page


def _caption(draw: ImageDraw.ImageDraw, explanation: Explanation, font: Font, width: int) -> str:
    """What was explained and how; cut short where the picture is narrow."""
    label = explanation.label
    rest = f" {explanation.score:.0%} - {explanation.method}, {explanation.runs} runs"
    text = label + rest
    while draw.textlength(text, font=font) > width and len(label) > 1:
        label = label[:-1]
        text = f"{label}...{rest}"
    return text
