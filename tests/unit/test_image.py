"""Bytes -> upright RGB: every format and mode, orientation, damage, hostile headers and reduced decoding."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from tests.timing import cpu_seconds

from vision import image as vision_image
from vision.errors import InvalidImage, TooLarge, UnsupportedFormat, VisionError
from vision.image import Picture, decode, encode_mask, open_photo
from vision.resampling import resample, resize_plane

# Pillow warns of what it repairs or leaves out; what counts is what it gives.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

Pixels = NDArray[np.uint8]
Encode = Callable[..., bytes]

MAX_PIXELS = 1_000_000
ORIENTATION = 0x0112
HEIGHT, WIDTH = 12, 20
_DOWN, _ACROSS = np.mgrid[:HEIGHT, :WIDTH]
GRAY = (_ACROSS * 9 + _DOWN * 7).astype(np.uint8)
RGB = np.stack((GRAY, 255 - GRAY, (_DOWN * 20).astype(np.uint8)), axis=-1)
ALPHA = (_ACROSS * 13).astype(np.uint8)
CMYK = np.dstack((RGB, (_ACROSS * 5).astype(np.uint8)))
GRAY_16 = (_ACROSS * 3000 + _DOWN * 500).astype(np.uint16)
GRAY_FLOAT = (_ACROSS / 19).astype(np.float32)


def _read(data: bytes) -> Pixels:
    return _pixels(decode(open_photo(data, max_pixels=MAX_PIXELS)))


def _pixels(picture: Picture) -> Pixels:
    return picture.rgb(max_pixels=2_000_000)


def _gray(samples: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(samples[:, :, None], 3, axis=2)


def _over_white(rgb: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    share = alpha[:, :, None] / 255
    return np.asarray(rgb * share + 255 * (1 - share))


def _ink(cmyk: Pixels) -> NDArray[Any]:
    return np.asarray((255 - cmyk[:, :, :3].astype(int)) * (255 - cmyk[:, :, 3:].astype(int)) / 255)


def _palette_image(transparency: bool) -> tuple[Image.Image, NDArray[Any]]:
    palette = [(255, 0, 0), (0, 200, 0), (0, 0, 150), (90, 90, 90)]
    index = (_ACROSS // 5).astype(np.uint8)
    image = Image.fromarray(index).convert("L")
    image.putpalette([value for color in palette for value in color])
    expected = np.array(palette)[index]
    if transparency:
        image.info["transparency"] = 1
        expected[index == 1] = 255
    return image, expected


def _source(mode: str) -> tuple[Image.Image, NDArray[Any]]:
    """An image in a mode of Pillow's, and the RGB it stands for by the mode's definition."""
    if mode.startswith("P"):
        return _palette_image(mode == "P with transparency")
    return {
        "1": lambda: (Image.fromarray(GRAY > 100), _gray((GRAY > 100) * 255)),
        "L": lambda: (Image.fromarray(GRAY), _gray(GRAY)),
        "RGB": lambda: (Image.fromarray(RGB), RGB),
        "LA": lambda: (
            Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(ALPHA)]),
            _over_white(_gray(GRAY), ALPHA),
        ),
        "RGBA": lambda: (Image.fromarray(np.dstack((RGB, ALPHA))), _over_white(RGB, ALPHA)),
        "CMYK": lambda: (Image.fromarray(CMYK, "CMYK"), _ink(CMYK)),
        "I;16": lambda: (Image.fromarray(GRAY_16), _gray(GRAY_16 // 256)),
        "I": lambda: (Image.fromarray(GRAY_16.astype(np.int32)), _gray(GRAY_16 // 256)),
        "F": lambda: (Image.fromarray(GRAY_FLOAT), _gray(GRAY_FLOAT * 255)),
    }[mode]()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _png_header(width: int, height: int) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header


def _large_png(width: int, height: int) -> bytes:
    """A few KB that say they are many pixels; only the first rows are there."""
    return (
        _png_header(width, height) + _chunk(b"IDAT", zlib.compress(bytes(2_000_000))) + _chunk(b"IEND", b"")
    )


def _large_webp(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:])
    data = bytearray(stream.getvalue())
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def _large_gif(width: int, height: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00;"


def _large_bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + header + bytes(1000)


def _large_tiff(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: height, 279: 9}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(200)


def _large_jpeg(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG")
    data = bytearray(stream.getvalue())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


LARGE = {
    "PNG": _large_png(30_000, 30_000),
    "WebP": _large_webp(16_383, 16_383),
    "GIF": _large_gif(65_535, 65_535),
    "BMP": _large_bmp(30_000, 30_000),
    "TIFF": _large_tiff(30_000, 30_000),
    "JPEG": _large_jpeg(65_500, 65_500),
}


@pytest.mark.parametrize(
    ("name", "mode", "tolerance"),
    [
        *[("PNG", mode, 1) for mode in ("1", "L", "P", "P with transparency", "LA", "RGB", "RGBA", "I;16")],
        *[("GIF", mode, 1) for mode in ("1", "L", "P", "P with transparency")],
        *[("BMP", mode, 0) for mode in ("1", "L", "P", "RGB")],
        *[("TIFF", mode, 1) for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", "F")],
        *[("WEBP", mode, 2) for mode in ("L", "RGB", "RGBA")],
        *[("AVIF", mode, 16) for mode in ("L", "RGB", "RGBA")],
        *[("JPEG", mode, 16) for mode in ("L", "RGB", "CMYK")],
    ],
)
def test_every_mode_of_every_format_becomes_correct_rgb(
    encode: Encode, name: str, mode: str, tolerance: int
) -> None:
    options: dict[str, Any] = {"lossless": True, "exact": True} if name == "WEBP" else {"quality": 98}
    if mode == "RGB":
        options["subsampling"] = {"AVIF": "4:4:4"}.get(name, 0)
    source, expected = _source(mode)

    rgb = _read(encode(source, name, **options))

    assert rgb.shape == (HEIGHT, WIDTH, 3)
    assert rgb.dtype == np.uint8
    assert np.abs(rgb - expected.astype(float)).max() <= tolerance


@pytest.mark.parametrize("byte_order", ["<", ">"], ids=["little-endian", "big-endian"])
def test_a_tiff_of_16_bits_a_channel_keeps_the_upper_eight(byte_order: str) -> None:
    samples = np.stack((GRAY_16, 65535 - GRAY_16, GRAY_16 // 2), axis=-1)
    strip = samples.astype(f"{byte_order}u2").tobytes()
    tags = {256: WIDTH, 257: HEIGHT, 259: 1, 262: 2, 273: 200, 277: 3, 278: HEIGHT, 279: len(strip)}
    entries = {tag: struct.pack(f"{byte_order}HHII", tag, 4, 1, value) for tag, value in tags.items()}
    entries[258] = struct.pack(f"{byte_order}HHII", 258, 3, 3, 180)
    head = (b"II" if byte_order == "<" else b"MM") + struct.pack(f"{byte_order}HIH", 42, 8, len(entries))
    directory = head + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    data = directory.ljust(180, b"\0") + struct.pack(f"{byte_order}HHH", 16, 16, 16)
    data = data.ljust(200, b"\0") + strip

    rgb = _read(data)

    assert rgb.tolist() == (samples >> 8).tolist()


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_of_an_animation_is_read(encode: Encode, name: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]

    rgb = _read(encode(frames[0], name, save_all=True, append_images=frames[1:]))

    assert (np.abs(rgb - np.array([255, 0, 0])) <= 3).all()


def test_the_first_picture_of_an_mpo_is_read(encode: Encode) -> None:
    first, second = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")
    data = encode(first, "MPO", save_all=True, append_images=[second])

    whole = _read(data)
    reduced = _pixels(decode(open_photo(data, max_pixels=MAX_PIXELS), scale=(0.25, 0.25)))

    assert whole.shape == (48, 64, 3)
    assert reduced.shape[0] in range(12, 49)
    assert (np.abs(whole - np.array([254, 0, 0])) <= 2).all()
    assert (np.abs(reduced - np.array([254, 0, 0])) <= 2).all()


def test_a_progressive_jpeg_is_read(encode: Encode, photo: Pixels) -> None:
    rgb = _read(encode(photo, "JPEG", progressive=True, quality=95, subsampling=0))

    assert np.abs(rgb.astype(int) - photo).mean() < 3


def test_a_lab_image_is_refused_as_unsupported(encode: Encode) -> None:
    transform = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(Image.fromarray(RGB), transform)
    assert lab is not None

    with pytest.raises(UnsupportedFormat, match="LAB"):
        _read(encode(lab, "TIFF"))


class TestOrientation:
    """The eight values, by the sides of the photo that the first stored row and column show (EXIF 2.32)."""

    @staticmethod
    def _stored(upright: Pixels, orientation: int) -> Pixels:
        turned = upright.transpose(1, 0, 2)
        stored = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: turned,
            6: turned[::-1],
            7: turned[::-1, ::-1],
            8: turned[:, ::-1],
        }[orientation]
        return np.ascontiguousarray(stored)

    @staticmethod
    def _exif(orientation: int) -> Image.Exif:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        return exif

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
    def test_it_is_applied_to_pixels_and_size(
        self, encode: Encode, photo: Pixels, name: str, orientation: int
    ) -> None:
        options: dict[str, Any] = {"lossless": True} if name == "WEBP" else {"quality": 95}
        stored = self._stored(photo, orientation)
        data = encode(stored, name, exif=self._exif(orientation), **options)

        opened = open_photo(data, max_pixels=MAX_PIXELS)
        rgb = _pixels(decode(opened))

        assert (opened.height, opened.width) == photo.shape[:2]
        assert rgb.shape == photo.shape
        assert np.abs(rgb.astype(int) - photo).mean() < 4

    @pytest.mark.parametrize("orientation", [3, 6])
    def test_it_is_found_behind_the_pixels_of_a_png(
        self, encode: Encode, photo: Pixels, orientation: int
    ) -> None:
        data = encode(self._stored(photo, orientation), "PNG", exif=self._exif(orientation))
        start = data.index(b"eXIf") - 4
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        chunk, without = data[start:end], data[:start] + data[end:]
        behind = without[:-12] + chunk + without[-12:]

        opened = open_photo(behind, max_pixels=MAX_PIXELS)

        assert (opened.height, opened.width) == photo.shape[:2]
        assert _pixels(decode(opened)).tolist() == photo.tolist()

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_reduced_jpeg_is_turned_the_same_way(self, encode: Encode, orientation: int) -> None:
        upright = np.zeros((200, 320, 3), np.uint8)
        upright[:100, :160], upright[:100, 160:], upright[100:, :160] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
        stored = self._stored(upright, orientation)
        data = encode(stored, "JPEG", quality=95, exif=self._exif(orientation))

        picture = decode(open_photo(data, max_pixels=MAX_PIXELS), scale=(0.15, 0.15))

        rgb = _pixels(picture)
        assert rgb.shape == (50, 80, 3)
        assert rgb[10, 10].argmax() == 0
        assert rgb[10, 70].argmax() == 1
        assert rgb[40, 10].argmax() == 2

    @pytest.mark.parametrize("value", [0, 9, 65535])
    def test_a_value_without_meaning_is_taken_as_upright(
        self, encode: Encode, photo: Pixels, value: int
    ) -> None:
        rgb = _read(encode(photo, "PNG", exif=self._exif(value)))

        assert rgb.tolist() == photo.tolist()

    @pytest.mark.parametrize(
        "exif",
        [
            b"Exif\0\0",
            b"Exif\0\0garbage",
            b"Exif\0\0II*\0\xff\xff\xff\xff",
            b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        ],
        ids=["empty", "garbage", "offset outside", "too many entries"],
    )
    @pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
    def test_damaged_exif_does_not_spoil_sound_pixels(
        self, encode: Encode, photo: Pixels, name: str, exif: bytes
    ) -> None:
        rgb = _read(encode(photo, name, exif=exif))

        assert rgb.shape == photo.shape


class TestDamage:
    """Whatever is missing or wrong: `InvalidImage`, never another error and never half an image."""

    @pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
    def test_a_file_cut_off_anywhere_is_refused(self, encode: Encode, photo: Pixels, name: str) -> None:
        data = encode(photo, name)

        # The last bytes of a PNG are a checksum and an empty chunk: without them the pixels are whole.
        for end in {*range(0, 64, 3), *range(64, len(data) - 24, max(1, len(data) // 40))}:
            # Without its brand, the start of an AVIF is that of any video.
            expected = (InvalidImage, UnsupportedFormat) if name == "AVIF" and end < 12 else InvalidImage
            with pytest.raises(expected):
                _read(data[:end])

    @pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
    def test_flipped_bytes_give_an_image_or_a_named_error(
        self, encode: Encode, photo: Pixels, name: str
    ) -> None:
        data = bytearray(encode(photo, name))
        random = np.random.default_rng(5)

        for _ in range(60):
            broken = data.copy()
            for place in random.integers(0, min(len(data), 400), 3):
                broken[place] ^= int(random.integers(1, 256))
            try:
                rgb = _read(bytes(broken))
            except VisionError as error:
                assert error.status in (400, 413, 415)  # noqa: PT017  # either outcome is right
            else:
                assert rgb.ndim == 3

    def test_a_palette_image_without_its_palette_is_refused(self, encode: Encode) -> None:
        data = encode(_source("P")[0], "PNG")
        start = data.index(b"PLTE") - 4
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")

        with pytest.raises(InvalidImage):
            _read(data[:start] + data[end:])

    @pytest.mark.parametrize(
        "data",
        [
            _png_header(0, 0) + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b""),
            _png_header(0, 5) + _chunk(b"IDAT", zlib.compress(bytes(5))) + _chunk(b"IEND", b""),
            b"GIF89a" + bytes(7) + b"," + bytes(8) + b"\0\x02\x02\x44\x01\0;",
            _large_bmp(0, 0),
            _large_tiff(0, 0),
            _large_jpeg(0, 16),
        ],
        ids=["PNG", "PNG 0 wide", "GIF", "BMP", "TIFF", "JPEG"],
    )
    def test_an_image_without_pixels_is_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidImage):
            _read(data)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\0",
            b"hello",
            b"<!doctype html><p>",
            b"PK\x03\x04".ljust(99),
            b'{"image": "x"}',
            bytes(5000),
        ],
        ids=["empty", "zero byte", "text", "html", "zip", "json", "zeros"],
    )
    def test_what_is_no_image_is_a_bad_request(self, data: bytes) -> None:
        with pytest.raises(InvalidImage):
            _read(data)

    @pytest.mark.parametrize(
        "data",
        [
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            b"\0\0\0\x18ftypmp42\0\0\0\0isommp42",
            b"%PDF-1.7\n",
            b"8BPS\0\x01",
            b"MM\0+\0\x08\0\0",
            b"\0\0\x01\0\x01\0",
            b"\0\0\0\x0cjP  \r\n\x87\n",
            b"\xff\x0a\xfa",
            b"qoif\0\0",
            b"DDS |",
            b"v/1\x01",
            b"P6\n2 2\n255\n",
            b'<svg xmlns="http://www.w3.org/2000/svg">',
            b'<?xml version="1.0"?><svg>',
            b"%!PS-Adobe",
        ],
        ids=lambda data: repr(data)[:20],
    )
    def test_an_image_format_that_is_not_on_the_list_is_unsupported(self, data: bytes) -> None:
        with pytest.raises(UnsupportedFormat, match="JPEG, PNG, WebP"):
            _read(data.ljust(100, b" "))


class TestLimits:
    """What is too large is refused from its header, in no time and no memory."""

    @pytest.mark.parametrize("name", LARGE)
    def test_too_many_pixels_are_refused_before_decoding(self, name: str) -> None:
        data = LARGE[name]
        with pytest.raises(TooLarge):
            open_photo(data, max_pixels=1)  # the first call imports the format's plugin

        def refuse() -> None:
            with pytest.raises(TooLarge, match=r"50,000,000.*scale it down"):
                open_photo(data, max_pixels=50_000_000)

        assert len(data) < 10_000
        assert cpu_seconds(refuse) < 0.05

    def test_refusing_does_not_take_memory(self) -> None:
        # A process of its own: the peak of this one may have been higher before; `ru_maxrss` would count it.
        script = """
import pickle, sys
from pathlib import Path
from vision.errors import TooLarge
from vision.image import open_photo
files = pickle.load(sys.stdin.buffer)
def peak_kb():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
for data in files:
    try:
        open_photo(data, max_pixels=1)
    except TooLarge:
        pass
before = peak_kb()
for data in files:
    try:
        open_photo(data, max_pixels=50_000_000)
    except TooLarge as error:
        continue
    raise SystemExit("not refused")
print(peak_kb() - before)
"""
        grown = subprocess.run(
            [sys.executable, "-c", script],
            input=pickle.dumps(list(LARGE.values())),
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        )

        assert int(grown.stdout) < 4_000

    def test_as_many_pixels_as_allowed_are_taken(self, encode: Encode, photo: Pixels) -> None:
        data = encode(photo, "PNG")

        assert open_photo(data, max_pixels=2400).width == 60
        with pytest.raises(TooLarge):
            open_photo(data, max_pixels=2399)

    def test_an_animation_of_very_many_frames_is_refused(self, encode: Encode, photo: Pixels) -> None:
        data = encode(photo, "PNG")
        animated = data[:33] + _chunk(b"acTL", struct.pack(">II", 1_000_000, 0)) + data[33:]

        with pytest.raises(TooLarge, match="frames"):
            open_photo(animated, max_pixels=MAX_PIXELS)

    @pytest.mark.parametrize("num_samples", [1, 30_000], ids=["sound", "too many samples"])
    def test_a_file_of_thousands_of_faults_writes_no_logs(self, num_samples: int) -> None:
        tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: num_samples, 278: 1, 279: 1}
        entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
        entries += [struct.pack("<HHII", tag, 7, 5_000_000, 8) for tag in range(1000, 6000)]
        data = b"II*\0" + struct.pack("<IIH", 12, 0, len(entries)) + b"".join(entries) + bytes(4)
        script = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from vision.errors import InvalidImage
from vision.image import decode, open_photo
try:
    decode(open_photo(sys.stdin.buffer.read(), max_pixels=1))
except InvalidImage:
    print("refused")
"""

        ended = subprocess.run(
            [sys.executable, "-c", script],
            input=data,
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        )

        assert ended.stdout == (b"" if num_samples == 1 else b"refused\n")
        assert ended.stderr == b""


@pytest.fixture(scope="module")
def large() -> Pixels:
    down, across = np.mgrid[:960, :1280]
    waves = [np.sin(across / 37 + down / 91), np.sin(down / 23), np.cos(across / 53 - down / 31)]
    return np.stack([127 + 120 * wave for wave in waves], axis=-1).astype(np.uint8)


def test_a_jpeg_of_many_scans_is_refused_before_any_is_decoded(encode: Encode) -> None:
    data = encode(Image.new("RGB", (2000, 2000), "gray"), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : data.rindex(b"\xff\xd9")]
    bomb = data[:-2] + last_scan * 5000 + data[-2:]

    def refuse() -> None:
        with pytest.raises(TooLarge, match="scans"):
            open_photo(bomb, max_pixels=4_000_000)

    assert cpu_seconds(refuse) < 0.05
    assert decode(open_photo(data, max_pixels=4_000_000)).rgb(4_000_000).shape == (2000, 2000, 3)


def test_a_jpeg_with_a_video_behind_it_is_read(encode: Encode, photo: Pixels) -> None:
    data = encode(photo, "JPEG", progressive=True)
    video = np.random.default_rng(7).bytes(20_000_000)

    opened = open_photo(data + video, max_pixels=MAX_PIXELS)

    assert video.count(b"\xff\xda") > 100
    assert _pixels(decode(opened)).tolist() == _read(data).tolist()
    assert cpu_seconds(lambda: open_photo(data + video, max_pixels=MAX_PIXELS)) < 0.2


class TestReducedDecoding:
    """Large JPEGs are decoded at a scale that is still enough."""

    @pytest.mark.parametrize(
        ("needed", "expected"),
        [(1.0, (960, 1280)), (0.4, (960, 1280)), (0.35, (480, 640)), (0.2, (480, 640)), (0.15, (240, 320))],
        ids=str,
    )
    def test_it_is_the_smallest_scale_with_two_fifths_to_spare(
        self, encode: Encode, large: Pixels, needed: float, expected: tuple[int, int]
    ) -> None:
        data = encode(large, "JPEG")

        picture = decode(open_photo(data, max_pixels=2_000_000), scale=(needed, needed))

        assert _pixels(picture).shape[:2] == expected
        assert (picture.photo_height, picture.photo_width) == (960, 1280)

    def test_the_side_that_needs_more_decides(self, encode: Encode, large: Pixels) -> None:
        picture = decode(open_photo(encode(large, "JPEG"), max_pixels=2_000_000), scale=(0.1, 0.35))

        assert _pixels(picture).shape[:2] == (480, 640)

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_the_models_pixels_are_close_to_those_of_the_whole_photo(
        self, encode: Encode, large: Pixels, mode: str
    ) -> None:
        data = encode(Image.fromarray(large).convert(mode), "JPEG", quality=90)
        box = (160.0, 0.0, 1120.0, 960.0)
        with Image.open(io.BytesIO(data)) as whole:
            expected = np.asarray(whole.convert("RGB").resize((160, 160), Image.Resampling.BILINEAR, box=box))

        picture = decode(open_photo(data, max_pixels=2_000_000), scale=(160 / 960, 160 / 960))
        pixels = resample(picture, box, (160, 160), "bilinear")

        assert _pixels(picture).shape[:2] == (240, 320)
        assert np.abs(pixels.astype(int) - expected).mean() < 2

    def test_other_formats_are_decoded_whole(self, encode: Encode, photo: Pixels) -> None:
        picture = decode(open_photo(encode(photo, "PNG"), max_pixels=MAX_PIXELS), scale=(0.1, 0.1))

        assert _pixels(picture).tolist() == photo.tolist()


@pytest.mark.parametrize("filter_name", ["nearest", "bilinear", "bicubic", "box", "lanczos"])
def test_resampling_is_pillows_own(encode: Encode, photo: Pixels, filter_name: str) -> None:
    method = Image.Resampling[filter_name.upper()]
    expected = np.asarray(Image.fromarray(photo).resize((17, 9), method, box=(3.5, 2.0, 50.25, 39.0)))

    picture = decode(open_photo(encode(photo, "PNG"), max_pixels=MAX_PIXELS))
    pixels = resample(picture, (3.5, 2.0, 50.25, 39.0), (9, 17), filter_name)

    assert pixels.tolist() == expected.tolist()


@pytest.mark.parametrize("size", [(1, 500_000), (500_000, 1)], ids=["thin", "flat"])
def test_photos_of_extreme_aspect_are_resampled(encode: Encode, size: tuple[int, int]) -> None:
    data = encode(Image.new("RGB", size, "lime"), "PNG")

    picture = decode(open_photo(data, max_pixels=MAX_PIXELS))
    pixels = resample(picture, (0.0, 0.0, float(size[0]), float(size[1])), (32, 32), "bilinear")

    assert (pixels == (0, 255, 0)).all()


def test_planes_are_scaled_in_float() -> None:
    plane = np.array([[0.0, 1.0]], np.float32)

    scaled = resize_plane(plane, 1, 4, (0, 1))

    assert scaled.tolist() == [[0.0, 0.25, 0.75, 1.0]]


@pytest.mark.parametrize("height", [5, 64, 301], ids=["down", "up", "far up"])
def test_some_rows_of_a_scaled_plane_are_those_of_the_whole(height: int) -> None:
    plane = np.random.default_rng(3).normal(size=(33, 20)).astype(np.float32)
    whole = np.asarray(Image.fromarray(plane).resize((50, height), Image.Resampling.BILINEAR))

    bands = [
        resize_plane(plane, height, 50, (start, min(start + 4, height))) for start in range(0, height, 4)
    ]

    assert np.abs(np.concatenate(bands) - whole).max() < 1e-4


def test_pixels_to_draw_on_are_bounded(encode: Encode, photo: Pixels) -> None:
    picture = decode(open_photo(encode(photo, "PNG"), max_pixels=MAX_PIXELS))

    assert picture.rgb(max_pixels=2400).shape == (40, 60, 3)
    assert picture.rgb(max_pixels=600).shape == (20, 30, 3)


def test_encoded_pictures_are_what_they_say(photo: Pixels) -> None:
    as_png = Image.open(io.BytesIO(vision_image.encode(photo, "image/png")))
    as_jpeg = Image.open(io.BytesIO(vision_image.encode(photo, "image/jpeg")))

    assert as_png.format == "PNG"
    assert np.asarray(as_png).tolist() == photo.tolist()
    assert as_jpeg.format == "JPEG"
    assert np.abs(np.asarray(as_jpeg).astype(int) - photo).mean() < 5


def test_a_mask_is_a_gray_png_of_0_and_255() -> None:
    mask = GRAY > 100

    image = Image.open(io.BytesIO(encode_mask(mask)))

    assert (image.format, image.mode) == ("PNG", "L")
    assert (np.asarray(image) == mask * 255).all()
