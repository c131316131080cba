"""Shared libraries without what only debuggers read: symbol tables, debug information, section headers.

Not `strip`: a machine's own knows no other processor, its versions give different bytes, and it may damage
libraries that were edited after they were linked, as those of wheels are. What the loader maps into memory is
kept byte for byte and only moves towards the front of the file.

Source: System V ABI, ELF, program loading: offsets are congruent to addresses modulo p_align.
https://gabi.xinuos.com
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ELF_64_LITTLE = b"\x7fELF\x02\x01"
_LOAD = 1


def drop_symbols(packages: Path) -> None:
    """Rewrites every shared library in a folder.

    Raises:
        ValueError: naming the file that is no shared library, or of an unknown layout.
    """
    for path in sorted(packages.rglob("*.so*")):
        data = path.read_bytes()
        try:
            lean = without_symbols(data)
        except (ValueError, struct.error) as error:
            raise ValueError(f"{path.name} {error}") from error
        if len(lean) < len(data):
            path.write_bytes(lean)


def without_symbols(data: bytes) -> bytes:
    """Gives a shared library with the bytes that are loaded, and no others but a few that keep the alignment.

    Raises:
        ValueError: when it is no 64-bit little-endian ELF file, or of a layout that is not known to be safe.
    """
    if data[:6] != _ELF_64_LITTLE:
        raise ValueError("is no 64-bit little-endian ELF file")
    header = list(_HEADER.unpack_from(data))
    table, num_segments = header[5], header[10]
    rows = (_SEGMENT.unpack_from(data, table + index * _SEGMENT.size) for index in range(num_segments))
    segments = [list(row) for row in rows]
    loaded = sorted((row[2], row[2] + row[5]) for row in segments if row[0] == _LOAD and row[5])
    needed = [(0, _HEADER.size), (table, table + num_segments * _SEGMENT.size)]
    needed += [(row[2], row[2] + row[5]) for row in segments if row[5]]
    if not all(any(first <= start and stop <= last for first, last in loaded) for start, stop in needed):
        raise ValueError("needs bytes that are not loaded")

    alignment = max(row[7] for row in segments if row[0] == _LOAD)
    pieces, moves = [], []
    end, shift, written = 0, 0, 0
    for start, stop in loaded:
        gap = max(0, start - end)
        shift += gap // alignment * alignment
        moves.append((start, stop, shift))
        begin = max(start, end)  # segments may share a page
        pieces.append(bytes(begin - shift - written) + data[begin:stop])
        written += len(pieces[-1])
        end = max(end, stop)
    lean = bytearray(b"".join(pieces))

    for index, row in enumerate(segments):
        if row[5]:
            row[2] -= _shift_of(moves, row[2])
        _SEGMENT.pack_into(lean, table - _shift_of(moves, table) + index * _SEGMENT.size, *row)
    header[5] = table - _shift_of(moves, table)
    header[6] = header[12] = header[13] = 0  # the section header table, its length, its names
    _HEADER.pack_into(lean, 0, *header)
    return bytes(lean)


def _shift_of(moves: list[tuple[int, int, int]], offset: int) -> int:
    return next(shift for start, stop, shift in moves if start <= offset < stop)
