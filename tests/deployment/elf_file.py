"""What a shared library asks of the machine that loads it, read from its segments: sections may be gone."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

_NEED, _SYMBOL = struct.Struct("<HHIII"), struct.Struct("<IHHII")


@dataclass(frozen=True, slots=True)
class SharedLibrary:
    """A shared library.

    Attributes:
        machine: `EM_X86_64` or `EM_AARCH64`.
        needed: names of the libraries it is linked to.
        search_path: folders to look for them first.
        versions: the symbol versions it asks for, such as `GLIBC_2.28`.
    """

    machine: str
    needed: tuple[str, ...]
    search_path: tuple[Path, ...]
    versions: tuple[str, ...]


def read_shared_library(path: Path) -> SharedLibrary:
    """Reads a shared library."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        (dynamic,) = elf.iter_segments("PT_DYNAMIC")
        assert isinstance(dynamic, DynamicSegment)
        tags: list[Any] = list(dynamic.iter_tags())
        values = {tag.entry.d_tag: tag.entry.d_val for tag in tags}
        names = [tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"]
        searched = [
            part
            for tag in tags
            if tag.entry.d_tag in ("DT_RUNPATH", "DT_RPATH")
            for part in getattr(tag, tag.entry.d_tag[3:].lower()).split(":")
        ]
        data = path.read_bytes()
        strings = _offset(elf, values["DT_STRTAB"])
        versions = []
        if "DT_VERNEED" in values:
            place = _offset(elf, values["DT_VERNEED"])
            versions = [_text(data, strings + name) for name in _version_names(data, place)]
        folders = tuple((path.parent / part.replace("$ORIGIN", ".")).resolve() for part in searched)
        return SharedLibrary(elf["e_machine"], tuple(names), folders, tuple(versions))


def loaded_bytes(library: bytes) -> dict[int, bytes]:
    """What the loader maps, by address; without the two headers that say where in the file it comes from.

    Raises:
        AssertionError: when a segment lies where the loader cannot map it from.
    """
    elf = ELFFile(io.BytesIO(library))
    tables = ((0, elf["e_ehsize"]), (elf["e_phoff"], elf["e_phoff"] + elf["e_phnum"] * elf["e_phentsize"]))
    memory = {}
    for segment in elf.iter_segments("PT_LOAD"):
        offset, address, data = segment["p_offset"], segment["p_vaddr"], bytearray(segment.data())
        assert offset % segment["p_align"] == address % segment["p_align"]
        for start, stop in tables:
            if offset <= start and stop <= offset + len(data):
                data[start - offset : stop - offset] = bytes(stop - start)
        memory[address] = bytes(data)
    return memory


def newest(versions: list[str], prefix: str) -> tuple[int, ...]:
    """The highest of some versions with a prefix, such as (2, 28) of `GLIBC`."""
    numbers = [
        re.fullmatch(rf"{prefix}_([\d.]+)", version)
        for version in versions
        if version.startswith(f"{prefix}_")
    ]
    return max((tuple(map(int, number[1].split("."))) for number in numbers if number), default=())


def _version_names(data: bytes, place: int) -> list[int]:
    """Where the names of versions lie among the strings: a list of lists (gABI, symbol versioning)."""
    names = []
    while True:
        _, num_symbols, _, first, step = _NEED.unpack_from(data, place)
        symbol = place + first
        for _ in range(num_symbols):
            _, _, _, name, next_symbol = _SYMBOL.unpack_from(data, symbol)
            names.append(name)
            symbol += next_symbol
        if step == 0:
            return names
        place += step


def _offset(elf: ELFFile, address: int) -> int:
    return int(next(elf.address_offsets(address)))


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()
