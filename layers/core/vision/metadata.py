"""EXIF data of a photo, as it may go on with the transformed picture."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from PIL import Image

from vision.image import Photo, header_of
from vision.upright import CODEC_FAULTS

_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
# How the pixels of a TIFF are stored, and what is not EXIF: XMP, IPTC, Photoshop's, the ICC profile.
_FOREIGN = (
    *(
        254,
        255,
        258,
        259,
        262,
        266,
        273,
        277,
        278,
        279,
        284,
        317,
        320,
        322,
        323,
        324,
        325,
        330,
        338,
        339,
        347,
    ),
    *(512, 513, 514, 529, 530, 531, 532, 700, 33723, 34377, 34675),
)


def exif_of(photo: Photo, width: int, height: int) -> bytes:
    """The EXIF data of a photo for a picture made of it; its place (GPS) is among them.

    The orientation becomes 1, the sizes those of the picture, and the thumbnail goes: it shows the photo.

    Args:
        photo: what `open_photo` gave, decoded or not.
        width: of the picture, in pixels.
        height: of the picture, in pixels.

    Returns:
        What `encode_raster` takes; nothing where the photo has no EXIF data, or broken ones.
    """
    try:
        exif = header_of(photo).getexif()
        if not exif:
            return b""
        kept = Image.Exif()
        kept.load(exif.tobytes())
        for tag in _FOREIGN:
            kept.pop(tag, None)
        _set(kept, {_ORIENTATION: 1, 0x0100: width, 0x0101: height})
        # PixelXDimension and PixelYDimension.
        _set(kept.get_ifd(_EXIF_IFD), {0xA002: width, 0xA003: height})
        return kept.tobytes()
    except CODEC_FAULTS:
        return b""


def _set(directory: MutableMapping[int, object], values: Mapping[int, int]) -> None:
    """Changes the tags that are there."""
    directory.update({tag: value for tag, value in values.items() if tag in directory})
