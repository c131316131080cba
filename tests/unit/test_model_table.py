"""The table and the catalog are rewritten where they stand, and nowhere else."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from marked import with_block
from model_table import BEGIN, END, accuracy, published, with_metrics

CATALOG = """# a comment
[labels.pets]
count = 2

[[models]]
id = "a"
[models.output]
decoder = "yolox" # another
[models.metrics]
map = 0.1
dataset = "old photos"

[[models]]
id = "b"
[models.metrics]
top1 = 0.2
"""


def test_the_table_replaces_what_stands_between_the_marks() -> None:
    readme = f"# Title\n{BEGIN}\nold\n{END}\nafter\n"

    assert with_block(readme, BEGIN, END, "| new |") == f"# Title\n{BEGIN}\n| new |\n{END}\nafter\n"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="must have the lines"):
        with_block(f"# Title\n{BEGIN}\n", BEGIN, END, "| new |")


def test_the_metrics_of_a_model_replace_its_own_and_leave_the_rest() -> None:
    new = with_metrics(CATALOG, {"a": {"map": 0.3, "dataset": 'my "best" photos', "num_photos": 5}})

    expected = tomllib.loads(CATALOG)
    expected["models"][0]["metrics"] = {"map": 0.3, "dataset": 'my "best" photos', "num_photos": 5}
    assert tomllib.loads(new) == expected
    assert [line for line in new.splitlines() if "#" in line] == [
        "# a comment",
        'decoder = "yolox" # another',
    ]
    assert with_metrics(new, {"a": {"map": 0.1, "dataset": "old photos"}}) == CATALOG


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (
            {"top1": 0.808, "top1_95": [0.757, 0.859], "top5": 0.932, "ece": 0.07},
            "top-1 80.8% (76% to 86%), top-5 93.2%",
        ),
        (
            {"map": 0.3256, "map_95": [0.274, 0.377], "ap50": 0.5067, "ap75": 0.3},
            "mAP 0.326 (0.27 to 0.38), AP50 0.507",
        ),
        ({"miou": 0.5954, "miou_95": [0.5, 0.691]}, "mIoU 0.595 (0.50 to 0.69)"),
    ],
)
def test_accuracy_is_written_by_task(metrics: dict[str, Any], expected: str) -> None:
    assert accuracy(metrics) == expected


def test_a_published_figure_is_a_link_to_where_it_stands() -> None:
    assert published({"published": "75.1%", "published_source": "https://example.org/a"}) == (
        "[75.1%](https://example.org/a)"
    )
    assert published({"top1": 0.8}) == "-"
