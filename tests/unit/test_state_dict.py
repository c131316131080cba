"""Checkpoints that run code or are damaged are refused; tests/conversion compares whole ones with PyTorch."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from conversion.errors import ConversionError
from conversion.state_dict import read_state_dict


class Harmful:
    """Calls the shell where a pickle is loaded in the usual way."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self._command,)


def archive(pickled: bytes, **more: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        for name, content in more.items():
            file.writestr(f"archive/{name}", content)
    return stream.getvalue()


@pytest.mark.parametrize("is_old", [True, False])
def test_a_checkpoint_that_calls_code_is_refused_by_its_name_and_runs_nothing(
    tmp_path: Path, is_old: bool
) -> None:
    trace = tmp_path / "ran"
    pickled = pickle.dumps({"weight": Harmful(f"touch {trace}")}, protocol=2)

    with pytest.raises(ConversionError, match=r"a\.pth holds code.*posix\.system.*nothing was run"):
        read_state_dict(pickled if is_old else archive(pickled), "a.pth")

    assert not trace.exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"\x80\x02garbage", b"{}", pickle.dumps(1), archive(b""), archive(b"\x80\x02.")],
)
def test_what_torch_does_not_write_is_refused(data: bytes) -> None:
    with pytest.raises(ConversionError, match="is damaged, or no file that torch"):
        read_state_dict(data, "a.pth")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "holds no state dict"),
        ([1], "holds no state dict"),
        ({"epoch": 3}, "holds 'epoch', which is no tensor"),
    ],
)
def test_a_checkpoint_without_tensors_alone_is_refused(content: Any, problem: str) -> None:
    with pytest.raises(ConversionError, match=problem):
        read_state_dict(
            archive(pickle.dumps(OrderedDict(content) if isinstance(content, dict) else content)), "a"
        )
