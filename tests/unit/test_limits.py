"""Files that are small and say they are small, but cost much to unpack."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.timing import cpu_seconds

from vision.errors import InvalidImage, TooLarge
from vision.image import decode, open_photo
from vision.limits import check_tiles, scans_of

Pixels = NDArray[np.uint8]
Encode = Callable[..., bytes]

MAX_PIXELS = 50_000_000
SHORT, LONG, SLONG8 = 3, 4, 17
SCAN, COMMENT, END = b"\xff\xda\x00\x02", b"\xff\xfe\x00\x02", b"\xff\xd9"


def _jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments)


class TestScans:
    @pytest.mark.parametrize(
        "data",
        [
            _jpeg(*[SCAN] * 100, END),
            _jpeg(*[SCAN] * 100),
            _jpeg(*[SCAN + b"\x12\xff\x00\xff\xd0"] * 100, END, *[SCAN] * 100),
            _jpeg(b"\xff\xe1\x04\x02", SCAN * 256, SCAN, END),
            _jpeg(END, SCAN * 200),
            _jpeg(SCAN, b"\xff\xff\xff", END, SCAN * 200),
            _jpeg(b"\xff"),
            _jpeg(b"\xff\xda\x00"),
        ],
        ids=["most", "no end", "behind the end", "in EXIF", "no scan", "fill bytes", "cut off", "no length"],
    )
    def test_scans_are_those_of_the_image_and_not_of_what_it_carries(self, data: bytes) -> None:
        scans_of(data)

    @pytest.mark.parametrize(
        "data",
        [
            _jpeg(*[SCAN] * 101, END),
            _jpeg(*[SCAN] * 101),
            _jpeg(*[SCAN + b"\x12\xff\x00\xd9\xff\xd7"] * 101, END),
            _jpeg(*[SCAN + b"\xff\xff\xff\x00"] * 101),
            _jpeg(b"\xff\xfe\x00\x04" + END, SCAN * 101),
            _jpeg(b"\xff\xfe\x00\x00", SCAN * 101),
            _jpeg(COMMENT * 10_000, END),
        ],
        ids=["one more", "no end", "pixels", "stuffing", "end in a comment", "wrong length", "segments"],
    )
    def test_no_disguise_hides_scans(self, data: bytes) -> None:
        with pytest.raises(TooLarge, match=r"more than (100 scans|10,000 segments)"):
            scans_of(data)

    @pytest.mark.parametrize(
        "data",
        [
            _jpeg(COMMENT * 10_000_000),
            _jpeg(SCAN, b"\x55\xff\x00" * 13_000_000, END),
            _jpeg(SCAN, b"\xff" * 10_000_000, b"\x00", SCAN * 101),
        ],
        ids=["segments", "pixels", "fill bytes"],
    )
    def test_the_walk_is_fast_whatever_it_walks_over(self, data: bytes) -> None:
        def walk() -> None:
            with contextlib.suppress(TooLarge):
                scans_of(data)

        assert cpu_seconds(walk) < 1


def _tiled(
    tile: tuple[int, int],
    *,
    size: tuple[int, int] = (100, 100),
    more: tuple[bytes, ...] = (),
    order: str = "<",
) -> bytes:
    """A TIFF of one deflated gray tile that all places share; `more` are further entries, before its own."""
    pixels = zlib.compress(bytes(tile[0] * tile[1]), 9)
    count = max(1, -(-size[0] // tile[0]) * -(-size[1] // tile[1]))
    offsets = struct.pack(f"{order}{count}I", *[16] * count) if count > 1 else b""
    lengths = struct.pack(f"{order}{count}I", *[len(pixels)] * count) if count > 1 else b""
    places = 16 + len(pixels)
    tags: Mapping[int, tuple[int, int]] = {
        256: (1, size[0]),
        257: (1, size[1]),
        258: (1, 8),
        259: (1, 8),
        262: (1, 1),
        277: (1, 1),
        322: (1, tile[0]),
        323: (1, tile[1]),
        324: (count, places if count > 1 else 16),
        325: (count, places + len(offsets) if count > 1 else len(pixels)),
    }
    entries = [struct.pack(f"{order}HHII", tag, LONG, *content) for tag, content in tags.items()]
    entries = sorted((*more, *entries), key=lambda entry: int(struct.unpack_from(f"{order}H", entry)[0]))
    directory = places + len(offsets + lengths)
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, directory)
    return (
        head.ljust(16, b"\0")
        + pixels
        + offsets
        + lengths
        + struct.pack(f"{order}H", len(entries))
        + b"".join(entries)
        + bytes(4)
    )


class TestTiles:
    @pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
    def test_a_tile_may_be_larger_than_the_image(self, order: str) -> None:
        opened = open_photo(_tiled((256, 256), order=order), max_pixels=MAX_PIXELS)

        assert decode(opened).rgb(MAX_PIXELS).shape == (100, 100, 3)

    def test_tiles_that_stick_out_of_a_photo_at_the_limit_are_taken(self) -> None:
        opened = open_photo(_tiled((256, 256), size=(1000, 900)), max_pixels=900_000)

        assert decode(opened).rgb(MAX_PIXELS).shape == (900, 1000, 3)

    @pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
    def test_a_tile_of_too_many_pixels_is_refused_before_it_is_unpacked(self, order: str) -> None:
        data = _tiled((7000, 8000), order=order)

        def refuse() -> None:
            with pytest.raises(TooLarge, match="7000 x 8000"):
                open_photo(data, max_pixels=MAX_PIXELS)

        assert len(data) < 100_000
        assert cpu_seconds(refuse) < 0.1

    def test_many_tiles_that_stick_out_far_are_refused(self) -> None:
        data = _tiled((16, 1_000_000), size=(1000, 10))

        with pytest.raises(TooLarge, match="63 tiles"):
            open_photo(data, max_pixels=MAX_PIXELS)

    @pytest.mark.parametrize("kind", [SHORT, LONG])
    def test_the_largest_of_several_widths_counts(self, kind: int) -> None:
        other = struct.pack("<HHIHH", 322, kind, 1, 16, 0)

        with pytest.raises(TooLarge, match="7000 x 8000"):
            open_photo(_tiled((7000, 8000), more=(other,)), max_pixels=MAX_PIXELS)

    def test_a_width_that_pillow_passes_over_is_refused(self) -> None:
        hidden = struct.pack("<HHII", 322, SLONG8, 1, 8)

        with pytest.raises(InvalidImage, match="no number"):
            open_photo(_tiled((256, 256), more=(hidden,)), max_pixels=MAX_PIXELS)

    @pytest.mark.parametrize("entry", [(322, 0), (323, 0)], ids=["width", "length"])
    def test_tiles_without_a_size_are_refused(self, entry: tuple[int, int]) -> None:
        tag, value = entry
        data = b"II*\0" + struct.pack("<IHHHII", 8, 1, tag, LONG, 1, value)

        with pytest.raises(InvalidImage, match="no size"):
            check_tiles(data, MAX_PIXELS)

    @pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
    def test_tiles_are_found_in_both_kinds_of_tiff(self, big: bool) -> None:
        sides = [(322, 9000), (323, 9000)]
        if big:
            entries = b"".join(struct.pack("<HHQQ", tag, LONG, 1, side) for tag, side in sides)
            data = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2) + entries
        else:
            entries = b"".join(struct.pack("<HHII", tag, LONG, 1, side) for tag, side in sides)
            data = b"II*\0" + struct.pack("<IH", 8, 2) + entries

        with pytest.raises(TooLarge, match="9000 x 9000"):
            check_tiles(data, MAX_PIXELS)

    @pytest.mark.parametrize("options", [{}, {"compression": "tiff_deflate"}, {"big_tiff": True}], ids=str)
    def test_an_image_in_strips_is_left_alone(
        self, encode: Encode, photo: Pixels, options: dict[str, object]
    ) -> None:
        data = encode(Image.fromarray(photo), "TIFF", **options)

        opened = open_photo(data, max_pixels=2400)

        assert decode(opened).rgb(MAX_PIXELS).tolist() == photo.tolist()

    @pytest.mark.parametrize("start", [7, 9, 20, 2**32 - 1])
    def test_a_directory_outside_of_the_file_has_no_tiles(self, start: int) -> None:
        check_tiles(b"II*\0" + struct.pack("<I", start) + b"\xff\xff", MAX_PIXELS)
