"""The page on transforms names what the code takes."""

from __future__ import annotations

from marked import with_block
from operations_table import BEGIN, END, PAGE, table
from vision.operations import OPERATIONS
from vision.presets import BUILT_IN


def test_the_table_of_operations_is_that_of_the_code() -> None:
    page = PAGE.read_text("utf-8")

    assert with_block(page, BEGIN, END, table()) == page


def test_every_operation_and_built_in_preset_is_named() -> None:
    page = PAGE.read_text("utf-8")

    assert [name for name in (*OPERATIONS, *BUILT_IN) if f"`{name}`" not in page] == []
