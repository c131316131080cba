"""Kinds of pictures that Pillow turns into numbers of another meaning: read right, or refused by their "
"name."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageFile

from vision.errors import InvalidImage, TooLarge, UnsupportedFormat
from vision.image import decode, open_photo

ImageFile.MAXBLOCK = 2**20  # noise has more bytes than pixels
HEIGHT, WIDTH = 12, 20
RANDOM = np.random.default_rng(5)
Array = NDArray[Any]


def pixels_of(data: bytes) -> Array:
    return np.asarray(decode(open_photo(data, max_pixels=10**6)).image)


# TIFF: written by tifffile, which keeps to the standard


def tiff(samples: Array, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


def noise(depth: int, channels: int = 1) -> Array:
    dtype = np.uint8 if depth <= 8 else np.uint16 if depth <= 16 else np.uint32
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    return RANDOM.integers(0, 2**depth, shape, dtype=dtype)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("depth", [8, 16])
def test_gray_of_a_tiff_is_the_samples_whichever_end_is_white(
    depth: int, photometric: str, compression: str | None, order: str
) -> None:
    samples = noise(depth)
    file = tiff(samples, photometric=photometric, compression=compression, byteorder=order)
    if (depth, photometric, order) == (16, "miniswhite", ">"):
        with pytest.raises(UnsupportedFormat, match="this kind of TIFF"):
            pixels_of(file)
        return

    found = pixels_of(file)

    dark = samples if photometric == "minisblack" else samples.max(initial=2**depth - 1) - samples
    expected = dark >> (depth - 8)
    assert np.abs(found.astype(int) - expected[..., None]).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("depth", [8, 16])
def test_colours_of_a_tiff_are_the_samples_in_either_order_or_the_kind_is_refused(
    depth: int, planar: str, order: str
) -> None:
    samples = noise(depth, 3)
    stored = samples if planar == "contig" else np.ascontiguousarray(samples.transpose(2, 0, 1))

    file = tiff(stored, photometric="rgb", planarconfig=planar, byteorder=order)
    if (depth, planar) == (16, "separate"):
        with pytest.raises(UnsupportedFormat, match="16 bits in separate planes"):
            pixels_of(file)
        return

    found = pixels_of(file)

    assert np.abs(found.astype(int) - (samples >> (depth - 8))).max() <= 1


@pytest.mark.parametrize(
    ("samples", "options", "words"),
    [
        (noise(32), {"photometric": "minisblack"}, "32 bits a sample"),
        (noise(16).astype(np.int16), {"photometric": "minisblack"}, "signed samples"),
        (noise(8, 3).astype(np.float32), {"photometric": "rgb"}, "floating-point colours"),
        (noise(16, 2), {"photometric": "minisblack", "extrasamples": ["unassalpha"]}, "gray of 16 bits"),
        (noise(8, 2), {"photometric": "minisblack", "extrasamples": ["assocalpha"]}, "gray of 8 bits"),
    ],
)
def test_a_kind_of_tiff_that_is_not_read_right_is_refused_by_its_name(
    samples: Array, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnsupportedFormat, match=words):
        pixels_of(tiff(samples, **options))


def test_gray_of_12_bits_is_spread_over_all_of_8() -> None:
    levels = np.array([0, 1, 2048, 4095])
    packed = "".join(f"{level:012b}" for level in levels)
    data = int(packed, 2).to_bytes(len(packed) // 8, "big")
    tags = [(256, 4, 1, 4), (257, 4, 1, 1), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 0)]
    tags += [(277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, len(data))]
    place = 8 + 2 + 12 * len(tags) + 4
    tags[5] = (273, 4, 1, place)
    directory = b"".join(struct.pack("<HHII", *each) for each in tags)
    file = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4) + data

    assert pixels_of(file)[0, :, 0].tolist() == [0, 0, 128, 255]


def test_a_tiff_in_a_million_strips_is_refused_from_its_header() -> None:
    count = 1_000_000
    tags = [(256, 4, 1, 8), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, count, 138), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 8)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *each) for each in tags)
    file = (b"II*\0" + struct.pack("<I", 8) + directory).ljust(138, b"\0") + struct.pack("<I", 8) * count

    with pytest.raises(TooLarge, match=r"1,000,000 strips"):
        open_photo(file, max_pixels=10**8)


# PNG


def chunk(kind: bytes, content: bytes, *, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(depth: int, color: int, rows: Sequence[bytes], width: int, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = (chunk(b"IHDR", header), *more, chunk(b"IDAT", packed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("key", [0, 1])
def test_the_transparent_gray_of_a_png_is_clear_in_every_depth(depth: int, key: int) -> None:
    levels = [key, 1 - key] * 8
    packed = "".join(f"{level:0{depth}b}" for level in levels)
    row = int(packed, 2).to_bytes(len(packed) // 8, "big")
    file = png(depth, 0, [row], 16, chunk(b"tRNS", struct.pack(">H", key)))

    found = pixels_of(file)[0, :, 0]

    # On white: the key is white, the other level what it is of 8 bits.
    other = (1 - key) * 255 // (2**depth - 1)
    assert found.tolist() == [255, other] * 8


@pytest.mark.parametrize(("low", "is_clear"), [(0x34, True), (0x35, False)])
def test_the_transparent_colour_of_a_png_of_16_bits_is_compared_in_16_bits(low: int, is_clear: bool) -> None:
    colour = struct.pack(">3H", 0x1200 | low, 0x5678, 0x9ABC)
    file = png(16, 2, [colour * 4], 4, chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)))

    assert pixels_of(file)[0, 0].tolist() == ([255] * 3 if is_clear else [0x12, 0x56, 0x9A])


BOMB = zlib.compress(bytes(3_000_000), 9)
CHUNKS = {
    "a profile of 3 MB": [chunk(b"iCCP", b"a\0\0" + BOMB)],
    "4,000 profiles": [chunk(b"iCCP", b"a\0\0" + BOMB)] * 1_000,
    "a text of 3 MB": [chunk(b"zTXt", b"a\0\0" + BOMB)],
    "wrong check sum of a text": [chunk(b"tEXt", b"a\0b", crc=1)],
    "10,000 texts": [chunk(b"tEXt", b"a\0b")] * 10_000,
    "a chunk nobody knows": [chunk(b"quUx", b"???", crc=7)],
}


@pytest.mark.parametrize("kind", CHUNKS)
def test_chunks_that_do_not_matter_make_no_png_corrupt_and_cost_nothing(kind: str) -> None:
    rows = [bytes((200, 100, 30)) * 4] * 4
    file = png(8, 2, rows, 4, *CHUNKS[kind])

    start = time.perf_counter()
    found = pixels_of(file)

    assert time.perf_counter() - start < 0.5
    assert np.array_equal(found, np.full((4, 4, 3), (200, 100, 30)))


def test_a_png_of_more_chunks_than_any_is_refused_at_once() -> None:
    file = png(8, 2, [bytes(3)], 1, chunk(b"tEXt", b"") * 300_000)

    start = time.perf_counter()
    with pytest.raises(TooLarge, match="20,000 chunks"):
        open_photo(file, max_pixels=100)

    assert time.perf_counter() - start < 0.2


# JPEG


def jpeg(**options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (64, 96, 3), dtype=np.uint8)).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("restarts", [0, 2])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_that_ends_before_its_rows_is_truncated_whatever_stands_at_its_end(
    subsampling: int, restarts: int, share: float
) -> None:
    whole = jpeg(subsampling=subsampling, restart_marker_blocks=restarts)
    cut = whole[: int(len(whole) * share)].rstrip(b"\xff") + b"\xff\xd9"

    assert pixels_of(whole).shape == (64, 96, 3)
    with pytest.raises(InvalidImage, match="corrupt or truncated"):
        pixels_of(cut)


def test_xmp_turns_no_jpeg_for_viewers_read_exif() -> None:
    packet = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    whole = jpeg()
    file = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(packet) + 2) + packet + whole[2:]

    assert pixels_of(file).shape == (64, 96, 3)


def app1(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize(
    ("inserted", "error"),
    [
        (app1(b"Exif\0\0" + bytes(60_000)) * 30 + app1(b"Exif\0\0a") * 100_000, TooLarge),
        (app1(b"x") * 200_000, TooLarge),
        (b"\xff" * 40_000_000, InvalidImage),
        (bytes(4_000_000), InvalidImage),
    ],
    ids=["EXIF", "segments", "fill bytes", "zeros"],
)
def test_segments_without_number_are_refused_before_they_are_read(
    inserted: bytes, error: type[Exception]
) -> None:
    whole = jpeg()

    start = time.perf_counter()
    with pytest.raises(error):
        open_photo(whole[:2] + inserted + whole[2:], max_pixels=10**6)

    assert time.perf_counter() - start < 0.5


# GIF, BMP, AVIF


def test_around_a_small_first_frame_a_gif_is_clear_as_in_browsers() -> None:
    stream = io.BytesIO()
    frame = Image.new("P", (8, 6), 1)
    frame.putpalette([255, 0, 0, 0, 0, 255])
    frame.save(stream, "GIF")
    data = bytearray(stream.getvalue())
    data[6:10] = struct.pack("<HH", 16, 12)  # the canvas

    found = pixels_of(bytes(data))

    assert found.shape == (12, 16, 3)
    assert (found[:6, :8] == (0, 0, 255)).all()
    assert (found[6:] == 255).all()
    assert (found[:, 8:] == 255).all()


@pytest.mark.parametrize("garbage", [bytes([7]) * 2_000_000, b"!\xfe" + b"\x01a" * 1_000_000 + b"\0"])
def test_what_stands_before_the_picture_of_a_gif_is_bounded(garbage: bytes) -> None:
    head = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0)

    start = time.perf_counter()
    with pytest.raises((TooLarge, InvalidImage)):
        open_photo(head + garbage, max_pixels=100)

    assert time.perf_counter() - start < 0.5


def bmp(header: bytes, pixels: bytes) -> bytes:
    place = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", place + len(pixels), 0, 0, place) + header + pixels


def test_a_bmp_whose_alpha_is_0_everywhere_is_opaque() -> None:
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 4, 4, 1, 32, 3, 64, 0, 0, 0, 0) + masks + bytes(52)

    found = pixels_of(bmp(header, bytes((30, 100, 200, 0)) * 16))

    assert (found == (200, 100, 30)).all()


def test_a_bmp_of_runs_is_refused_where_a_few_bytes_are_millions_of_pixels() -> None:
    header = struct.pack("<IiiHHIIiiII", 40, 7_000, 7_000, 1, 8, 1, 4, 0, 0, 256, 0)

    start = time.perf_counter()
    with pytest.raises(TooLarge, match="run-length"):
        open_photo(bmp(header, bytes(4)), max_pixels=50_000_000)

    assert time.perf_counter() - start < 0.1


@pytest.mark.parametrize("place", ["meta", "mdat"])
def test_an_avif_with_a_clean_aperture_is_refused(place: str, encode: Callable[..., bytes]) -> None:
    data = encode(Image.new("RGB", (16, 16), (200, 100, 30)), "AVIF")
    start = data.index(b"meta") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    assert b"clap" not in data
    if place == "mdat":
        assert pixels_of(data + b"clap").shape == (16, 16, 3)
        return
    grown = struct.pack(">I", size + 8) + data[start + 4 : start + size] + struct.pack(">I4s", 8, b"clap")

    with pytest.raises(UnsupportedFormat, match="clean aperture"):
        open_photo(data[:start] + grown + data[start + size :], max_pixels=1000)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_gray_and_alpha_in_separate_planes_are_refused_for_pillow_takes_one_for_the_other(
    compression: str | None, tile: tuple[int, int] | None, order: str
) -> None:
    planes = np.stack([np.full((32, 48), 60, np.uint8), np.full((32, 48), 255, np.uint8)])
    layout = {"planarconfig": "separate", "extrasamples": [2], "compression": compression, "tile": tile}
    file = tiff(planes, photometric="minisblack", byteorder=order, **layout)

    with pytest.raises(UnsupportedFormat, match="gray and alpha in separate planes"):
        open_photo(file, max_pixels=1_000_000)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_floats_of_a_tiff_are_the_samples_or_refused_in_the_order_that_pillow_mistakes(
    compression: str | None, order: str
) -> None:
    samples = np.linspace(0, 1, 32 * 48, dtype=np.float32).reshape(32, 48)
    file = tiff(samples, photometric="minisblack", byteorder=order, compression=compression)
    if compression and order == ">":
        with pytest.raises(UnsupportedFormat, match="compressed floats in big-endian order"):
            open_photo(file, max_pixels=1_000_000)
        return

    found = np.asarray(decode(open_photo(file, max_pixels=1_000_000)).image)

    assert np.abs(found[..., 0] - samples * 255.0).max() <= 1


def test_a_tiff_packed_as_webp_is_refused_by_its_name_and_not_called_corrupt() -> None:
    file = tiff(noise(8, 3), photometric="rgb")
    entry = struct.pack("<HHI", 259, 3, 1)  # compression, one SHORT
    assert file.count(entry) == 1
    place = file.index(entry) + len(entry)

    with pytest.raises(UnsupportedFormat, match="packed as WebP"):
        open_photo(file[:place] + struct.pack("<H", 50001) + file[place + 2 :], max_pixels=1_000_000)


def _avif() -> tuple[bytes, int]:
    """A sound AVIF and where its second box begins."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 100, 30)).save(stream, "AVIF")
    return stream.getvalue(), int.from_bytes(stream.getvalue()[:4], "big")


def test_an_avif_of_countless_boxes_is_refused_at_once() -> None:
    data, second = _avif()
    boxes = struct.pack(">I4s", 8, b"free") * 6_000_000
    started = time.perf_counter()

    with pytest.raises(TooLarge, match="boxes"):
        open_photo(data[:second] + boxes + data[second:], max_pixels=1_000_000)

    assert time.perf_counter() - started < 0.5


def test_an_aperture_is_found_behind_a_box_whose_size_has_64_bits() -> None:
    data, second = _avif()
    meta = struct.pack(">I4sI", 20, b"meta", 0) + struct.pack(">I4s", 8, b"clap")
    wide = struct.pack(">I4sQ", 1, b"free", 20) + bytes(4)

    with pytest.raises(UnsupportedFormat, match="clean aperture"):
        open_photo(data[:second] + wide + meta + data[second:], max_pixels=1_000_000)
