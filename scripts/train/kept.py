"""Arrays that take long to make: kept in files, and made again where what they were made of changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def kept(path: Path, made_of: Mapping[str, object], make: Callable[[Path], None]) -> NDArray[Any]:
    """Gives an array, memory-mapped, from its file if that was made of the same.

    Args:
        path: the .npy file; what it was made of is noted beside it.
        made_of: what the array depends on, by name: sizes, seeds, digests.
        make: writes the array to the path that it is given.
    """
    note, wanted = path.with_suffix(".json"), json.dumps(made_of, sort_keys=True)
    if not (path.exists() and note.exists() and note.read_text(encoding="utf-8") == wanted):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.stem}.part.npy")
        make(unfinished)
        note.unlink(missing_ok=True)
        unfinished.replace(path)
        note.write_text(wanted, encoding="utf-8")
    array: NDArray[Any] = np.load(path, mmap_mode="r")
    return array


def digest(*parts: Any) -> str:
    """The first 16 hex digits of the SHA-256 of texts, paths' contents and arrays."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            total.update(part.read_bytes())
        elif isinstance(part, str):
            total.update(part.encode())
        else:
            total.update(np.ascontiguousarray(part).tobytes())
    return total.hexdigest()[:16]
