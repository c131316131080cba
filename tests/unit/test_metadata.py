"""What a photo says of who took it and where: gone, unless it was asked to stay."""

from __future__ import annotations

import io
import zlib
from typing import Any, Literal

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from vision.telemetry import Stopwatch
from vision.transform import open_transform, run_transform
from vision.transform_parameters import read_transform_parameters

OUTPUTS = ("jpeg", "png", "webp", "avif")
SECRET = b"SECRET"
_PIXELS = np.random.default_rng(6).integers(0, 256, (48, 64, 3), np.uint8)
_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + SECRET + b"</x:xmpmeta>"
_PLACE = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0), 29: "2026:01:01"}


def _exif(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "SECRET camera"
    exif[ExifTags.Base.ImageWidth], exif[ExifTags.Base.ImageLength] = 64, 48
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {0xA002: 64, 0xA003: 48, 0x9003: "2026:01:01 10:00:00", 0xA431: "SECRET number"}
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(_PLACE)
    return exif


def _photo(name: str, **options: Any) -> bytes:
    if name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", "SECRET author")
        text.add_itxt("XML:com.adobe.xmp", _XMP.decode())
        options |= {"pnginfo": text}
    elif name == "JPEG":
        options |= {"comment": b"SECRET comment", "xmp": _XMP, "quality": 95}
    elif name == "WEBP":
        options |= {"xmp": _XMP, "lossless": True}
    elif name == "AVIF":
        options |= {"xmp": _XMP}
    stream = io.BytesIO()
    Image.fromarray(_PIXELS).save(stream, name, **{"exif": _exif(), "icc_profile": _PROFILE, **options})
    return stream.getvalue()


def _written(data: bytes, **parameters: Any) -> bytes:
    read = read_transform_parameters(parameters)
    (variant,) = run_transform(open_transform(data, read, max_pixels=10**6), Stopwatch())
    return variant.data


def _everything(data: bytes) -> bytes:
    """The file, and what is compressed in the chunks of a PNG."""
    found = data
    for start in range(len(data)):
        if data[start : start + 4] in (b"zTXt", b"iTXt", b"iCCP"):
            try:
                found += zlib.decompress(data[data.index(b"\x78", start) :])
            except (ValueError, zlib.error):
                continue
    return found


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("ops", [None, "resize:w=20", "flip|blur:1", "pad:3,background=transparent"])
def test_nothing_that_a_photo_says_of_itself_is_written_again(
    name: str, output: str, ops: str | None
) -> None:
    data = _photo(name)
    assert SECRET in data

    written = _written(data, format=output, **({"ops": ops} if ops else {}))

    image = Image.open(io.BytesIO(written))
    assert SECRET not in _everything(written)
    assert not dict(image.getexif())
    assert not {"exif", "icc_profile", "xmp", "comment", "XML:com.adobe.xmp"} & {
        key for key, value in image.info.items() if value
    }


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_exif_data_stay_where_they_are_asked_for_and_tell_of_the_new_picture(name: str, output: str) -> None:
    written = _written(_photo(name), keep="exif", format=output, ops="resize:w=24,h=30")

    image = Image.open(io.BytesIO(written))
    exif = image.getexif()
    assert image.size == (24, 30)
    assert exif[ExifTags.Base.Make] == "SECRET camera"
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    assert (exif[ExifTags.Base.ImageWidth], exif[ExifTags.Base.ImageLength]) == (24, 30)
    own = exif.get_ifd(ExifTags.IFD.Exif)
    assert (own[0xA002], own[0xA003], own[0x9003]) == (24, 30, "2026:01:01 10:00:00")
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert [tuple(map(float, place[tag])) for tag in (2, 4)] == [_PLACE[2], _PLACE[4]]
    assert not image.info.get("icc_profile")
    assert not {"xmp", "comment", "Author"} & {key for key, value in image.info.items() if value}


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_profile_alone_stays_where_it_alone_is_asked_for(output: str) -> None:
    written = _written(_photo("JPEG"), keep="icc", format=output)

    image = Image.open(io.BytesIO(written))
    assert image.info["icc_profile"] == _PROFILE
    assert not dict(image.getexif())
    assert SECRET not in _everything(written)


def test_the_thumbnail_of_a_photo_does_not_show_what_was_cropped_away() -> None:
    exif = _exif(1).tobytes()
    # IFD1, behind the others, holds a thumbnail: Pillow does not write one, so it is put there by hand.
    thumbnail = io.BytesIO()
    Image.fromarray(_PIXELS).resize((16, 12)).save(thumbnail, "JPEG")
    body = exif.removeprefix(b"Exif\0\0")
    order: Literal["little", "big"] = "little" if body[:2] == b"II" else "big"
    first = int.from_bytes(body[4:8], order)
    link = first + 2 + 12 * int.from_bytes(body[first : first + 2], order)
    start = len(body)
    entries = ((0x0201, 4, start + 30), (0x0202, 4, len(thumbnail.getvalue())))
    ifd = (2).to_bytes(2, order) + b"".join(
        tag.to_bytes(2, order) + kind.to_bytes(2, order) + (1).to_bytes(4, order) + value.to_bytes(4, order)
        for tag, kind, value in entries
    )
    body = body[:link] + start.to_bytes(4, order) + body[link + 4 :] + ifd + bytes(4) + thumbnail.getvalue()
    data = _photo("JPEG", exif=b"Exif\0\0" + body)
    assert thumbnail.getvalue() in data
    assert 0x0201 in Image.open(io.BytesIO(data)).getexif().get_ifd(ExifTags.IFD.IFD1)

    written = _written(data, keep="exif", ops="crop:w=8,h=8", format="png")

    assert thumbnail.getvalue() not in written
    assert Image.open(io.BytesIO(written)).getexif()[ExifTags.Base.Make] == "SECRET camera"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b""])
def test_broken_exif_data_are_not_kept_and_cost_no_picture(exif: bytes) -> None:
    written = _written(_photo("JPEG", exif=exif), keep="exif", ops="resize:w=10")

    image = Image.open(io.BytesIO(written))
    image.load()
    assert image.width == 10
    assert not dict(image.getexif())
