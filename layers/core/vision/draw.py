"""A result drawn on its photo: boxes with labels, or tinted and outlined masks with a legend."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vision.results import Answer, Detections, Segmentation

_GOLDEN_ANGLE = 0.618033988749895  # consecutive class ids get hues far apart
_TINT = 0.45
_FONT = 0.025  # of the mean of both sides: a photo a hand wide has letters of 3 mm
_MIN_FONT, _MAX_FONT = 14, 80  # pixels

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def overlay(answer: Answer) -> NDArray[np.uint8]:
    """Gives the photo of an answer with what was found drawn on it, (h, w, 3) uint8 as in `answer.rgb`."""
    result = answer.result
    if isinstance(result, Detections):
        return _boxes(answer, result)
    if isinstance(result, Segmentation):
        return _masks(answer, result)
    return answer.rgb


def color_of(class_id: int) -> Color:
    """A bright color for a class, the same in every picture."""
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN_ANGLE % 1, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _boxes(answer: Answer, result: Detections) -> NDArray[np.uint8]:
    image = Image.fromarray(answer.rgb)
    draw = ImageDraw.Draw(image)
    font, line = lettering(*image.size)
    boxes = result.boxes * np.tile((image.width / answer.width, image.height / answer.height), 2)
    # The best box is drawn last, so that none lies over it.
    for box, score, class_id in reversed(list(zip(boxes, result.scores, result.class_ids, strict=True))):
        color = color_of(int(class_id))
        xmin, ymin, xmax, ymax = (float(edge) for edge in box)
        draw.rectangle((xmin, ymin, max(xmin, xmax - 1), max(ymin, ymax - 1)), outline=color, width=line)
        _tag(draw, (xmin, ymin), f"{answer.label(int(class_id))} {score:.0%}", color, font, above=True)
    return np.asarray(image)


def _masks(answer: Answer, result: Segmentation) -> NDArray[np.uint8]:
    tinted = answer.rgb.copy()
    font, line = lettering(tinted.shape[1], tinted.shape[0])
    height, width = tinted.shape[:2]
    rows, columns = np.arange(height) * answer.height // height, np.arange(width) * answer.width // width
    class_map = result.class_map[rows[:, None], columns]
    edges = _edges(class_map, line)
    for class_id in result.class_ids:
        inside = class_map == class_id
        tint = np.array(color_of(class_id), np.float32) * _TINT
        tinted[inside] = (tinted[inside] * np.float32(1 - _TINT) + tint).astype(np.uint8)
        tinted[inside & edges] = color_of(class_id)
    image = Image.fromarray(tinted)
    draw = ImageDraw.Draw(image)
    top = float(line)
    for class_id in result.class_ids:
        share = float((class_map == class_id).mean())
        text = f"{answer.label(class_id)} " + (f"{share:.0%}" if share >= 0.01 else "< 1%")
        top = line + _tag(draw, (line, top), text, color_of(class_id), font, above=False)
    return np.asarray(image)


def _edges(class_map: NDArray[np.uint8] | NDArray[np.uint16], line: int) -> NDArray[np.bool_]:
    """The pixels of a class map, (h, w), with another class at most `line` steps away, none diagonal."""
    near = np.zeros(class_map.shape, np.bool_)
    down, across = class_map[1:] != class_map[:-1], class_map[:, 1:] != class_map[:, :-1]
    near[1:] |= down
    near[:-1] |= down
    near[:, 1:] |= across
    near[:, :-1] |= across
    for _ in range(line - 1):
        before = near.copy()
        near[1:] |= before[:-1]
        near[:-1] |= before[1:]
        near[:, 1:] |= before[:, :-1]
        near[:, :-1] |= before[:, 1:]
    return near


def lettering(width: int, height: int) -> tuple[Font, int]:
    """A font and a line width that can be read when the whole picture of that size is looked at."""
    # A label in letters as high as 1000 pixels would take seconds, and leave nothing of a narrow picture.
    size = round((width + height) / 2 * _FONT)
    size = min(max(_MIN_FONT, size), max(_MIN_FONT, min(width, height) // 12), _MAX_FONT)
    return ImageFont.load_default(size), max(2, size // 7)


def _tag(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    color: Color,
    font: Font,
    *,
    above: bool,
) -> float:
    """Writes text on a filled rectangle, inside the picture; gives the rectangle's bottom."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = (bottom - top) / 4
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    picture_width, picture_height = draw.im.size
    x = max(0.0, min(corner[0], picture_width - width))
    y = corner[1] - height if above and corner[1] >= height else corner[1]
    y = max(0.0, min(y, picture_height - height))
    draw.rectangle((x, y, x + width, y + height), fill=color)
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = "black" if luminance > 128 else "white"
    draw.text((x + pad - left, y + pad - top), text, fill=ink, font=font)
    return float(y + height)
