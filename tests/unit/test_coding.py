"""Bodies packed by gzip and deflate, held against the standard library's own."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.coding import choose, pack, shrinks, unpack
from vision.errors import BadRequest, TooLarge, UnsupportedFormat

PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


@pytest.mark.parametrize("coding", PACK)
@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=2000))
def test_what_others_pack_is_unpacked_and_the_reverse(coding: str, data: bytes) -> None:
    assert unpack(PACK[coding](data), coding, 2000) == data
    assert UNPACK[coding](pack(data, coding)) == data


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_what_is_not_packed_stays_as_it_is(coding: str) -> None:
    assert unpack(b"as it is", coding, 1) == b"as it is"


@pytest.mark.parametrize("coding", PACK)
def test_no_more_is_unpacked_than_the_limit(coding: str) -> None:
    bomb = PACK[coding](bytes(200_000_000))

    tracemalloc.start()
    with pytest.raises(TooLarge, match="unpacks to more than 1,000,000 bytes"):
        unpack(bomb, coding, 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8_000_000
    assert unpack(PACK[coding](bytes(1_000_000)), coding, 1_000_000) == bytes(1_000_000)


@pytest.mark.parametrize("coding", PACK)
def test_what_is_cut_off_or_goes_on_or_is_not_packed_is_refused(coding: str) -> None:
    whole = PACK[coding](b"a body" * 100)

    with pytest.raises(BadRequest, match=f"cut off before the end of its {coding}"):
        unpack(whole[:-5], coding, 1000)
    with pytest.raises(BadRequest, match="3 bytes are left behind"):
        unpack(whole + b"abc", coding, 1000)
    with pytest.raises(BadRequest, match=f"not valid {coding}"):
        unpack(b'{"inputs": []}', coding, 1000)
    with pytest.raises(BadRequest, match="cut off"):
        unpack(b"", coding, 1000)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "x" * 100])
def test_another_coding_is_named_in_the_refusal(coding: str) -> None:
    with pytest.raises(UnsupportedFormat, match=r"Content-Encoding: .* is not taken; gzip and deflate are"):
        unpack(b"", coding, 1000)


def test_floats_as_bytes_are_not_worth_packing_and_class_maps_are() -> None:
    drawn = np.random.default_rng(0)

    assert not shrinks(drawn.standard_normal(300_000).astype(np.float32).tobytes())
    assert shrinks(drawn.integers(0, 21, 100_000).astype(np.int64).tobytes())
    assert shrinks(b"a" * 300_000)
    assert not shrinks(b"")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("br, gzip, deflate", "gzip"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("gzip;q=0", ""),
        ("identity, gzip;q=0.5", ""),
        ("GZIP", "gzip"),
        ("br", ""),
        ("*", ""),
    ],
)
def test_the_caller_s_favourite_is_chosen(header: str, chosen: str) -> None:
    assert choose(header) == chosen
