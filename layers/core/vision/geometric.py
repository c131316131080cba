"""The geometric steps on pictures (L, LA, RGB, RGBA, and F: modes.py) and on class maps (L).

Transparent pixels weigh nothing where neighbours are averaged. Coordinates are those of `steps.py`.
"""

from __future__ import annotations

from PIL import Image

from vision.lazy import np
from vision.modes import DEEP, color_in, premultiplied, straight, whole, with_room_for
from vision.steps import Affine, Crop, Pad, Resample, Transpose

GeometricStep = Resample | Crop | Transpose | Pad | Affine

FILTERS = {each.name.lower(): each for each in Image.Resampling}
_TURNS = {
    "flip-horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
    "flip-vertical": Image.Transpose.FLIP_TOP_BOTTOM,
    "rotate-90": Image.Transpose.ROTATE_90,
    "rotate-180": Image.Transpose.ROTATE_180,
    "rotate-270": Image.Transpose.ROTATE_270,
}


def done(image: Image.Image, step: GeometricStep) -> Image.Image:
    """Does one step; the mode gains colours or alpha where the background of the step has them."""
    if isinstance(step, Resample):
        # Pillow premultiplies alpha itself.
        return whole(image.resize((step.width, step.height), FILTERS[step.filter], box=step.box))
    if isinstance(step, Crop):
        return image.crop((step.left, step.top, step.left + step.width, step.top + step.height))
    if isinstance(step, Transpose):
        return image.transpose(_TURNS[step.turn])
    if isinstance(step, Pad):
        return _padded(image, step)
    return _mapped(image, step)


def _padded(image: Image.Image, step: Pad) -> Image.Image:
    if step.mode == "constant":
        image = with_room_for(image, step.background)
        size = image.width + step.left + step.right, image.height + step.top + step.bottom
        canvas = Image.new(image.mode, size, color_in(image.mode, step.background))
        canvas.paste(image, (step.left, step.top))
        return canvas
    pixels = np.asarray(image)
    widths = ((step.top, step.bottom), (step.left, step.right), (0, 0))[: pixels.ndim]
    return Image.fromarray(np.pad(pixels, widths, step.mode))


def _mapped(image: Image.Image, step: Affine) -> Image.Image:
    image = with_room_for(image, step.background)
    fill = color_in(image.mode, step.background)
    if image.mode in ("L", "RGB", DEEP) or step.filter == "nearest":
        return whole(_transformed(image, step, fill))
    # Pillow premultiplies the picture here, but not the colour it fills with.
    weighted = premultiplied(Image.new(image.mode, (1, 1), fill)).getpixel((0, 0))
    return straight(_transformed(premultiplied(image), step, weighted))


def _transformed(image: Image.Image, step: Affine, fill: float | tuple[int, ...] | None) -> Image.Image:
    size, method = (step.width, step.height), Image.Transform.AFFINE
    return image.transform(size, method, step.matrix, FILTERS[step.filter], fillcolor=fill)
