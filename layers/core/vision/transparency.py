"""Transparency by key of a PNG and around the first frame of a GIF, as the files mean it."""

from __future__ import annotations

from PIL import Image, ImageChops

_DEPTH, _COLOR = 24, 25  # where the header of a PNG has them
_GRAY, _RGB = 0, 2
_SIXTEEN = 16


def with_transparency(image: Image.Image, data: bytes) -> Image.Image:
    """Returns a loaded PNG whose transparent colour is right in every depth.

    Pillow scales gray of 1, 2 and 4 bits to 8 and compares the key as the file has it; and compares the high
    bytes of colours of 16 bits with a key of 16.

    Args:
        image: loaded.
        data: the file.
    """
    key = image.info.get("transparency")
    depth, color = data[_DEPTH], data[_COLOR]
    if color == _GRAY and depth < 8 and isinstance(key, int):
        gray = image.convert("L") if image.mode == "1" else image
        gray.info["transparency"] = key * 255 // (2**depth - 1)
        return gray
    if color == _RGB and depth == _SIXTEEN and isinstance(key, tuple):
        return _keyed(image, _low_bytes(data), key)
    return image


def framed(image: Image.Image) -> Image.Image:
    """Returns the first frame of a GIF on a canvas that is clear around it, as browsers show it."""
    extent = getattr(image, "dispose_extent", None)
    if extent is None or tuple(extent) == (0, 0, *image.size):
        return image
    canvas = Image.new("RGBA", image.size, (0, 0, 0, 0))
    canvas.paste(image.convert("RGBA").crop(extent), extent[:2])
    return canvas


def _keyed(high: Image.Image, low: Image.Image, key: tuple[int, int, int]) -> Image.Image:
    """Colours of 16 bits, given by their high and low bytes, with alpha 0 where they are the key."""
    is_key: Image.Image | None = None
    for band, lower, value in zip(high.split(), low.split(), key, strict=True):
        for plane, wanted in ((band, value >> 8), (lower, value & 255)):
            same = plane.point([255 if each == wanted else 0 for each in range(256)])
            is_key = same if is_key is None else ImageChops.darker(is_key, same)
    assert is_key is not None
    rgba = high.convert("RGB")
    rgba.putalpha(ImageChops.invert(is_key))
    return rgba


def _low_bytes(data: bytes) -> Image.Image:
    """The low bytes of a PNG's colours of 16 bits, which Pillow leaves out."""
    import io  # noqa: PLC0415  # for such files alone

    from PIL import PngImagePlugin  # noqa: PLC0415

    image = PngImagePlugin.PngImageFile(io.BytesIO(data))
    image.tile = [(*tile[:3], "RGB;16L") for tile in image.tile]  # type: ignore[misc]
    image.load()
    return image
