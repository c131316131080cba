"""The cost tables: AWS's own examples, and that the page is what the script makes."""

from __future__ import annotations

import json
import re

import pytest

import costs

FIGURES = json.loads(costs.FIGURES.read_text(encoding="utf-8"))


def test_the_page_is_what_the_script_makes() -> None:
    page = costs.PAGE.read_text(encoding="utf-8")

    assert page == costs.with_block(page, costs.report(FIGURES)), "run python scripts/costs.py"


def test_compute_costs_what_aws_says_in_its_example() -> None:
    # 3 million invocations of 120 ms at 1,536 MB are 540,000 GB-seconds: 9.00 dollars before the free tier.
    assert 3_000_000 * costs.compute(120, 1536, "x86_64") == pytest.approx(9.00, abs=0.001)


def test_arm64_costs_a_fifth_less_for_the_same_time() -> None:
    ratio = costs.compute(100, 1769, "arm64") / costs.compute(100, 1769, "x86_64")

    assert ratio == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(
    ("measured_mb", "memory_mb", "expected"),
    [
        (1769, 1769, 100),
        (1769, 3538, 100),  # one thread has no use for a second vCPU
        (1769, 512, 345.5),
        (3538, 3538, 100),
        (3538, 1769, 200),
    ],
)
def test_a_duration_grows_as_the_share_of_a_vcpu_shrinks(
    measured_mb: int, memory_mb: int, expected: float
) -> None:
    assert costs.duration_ms(100, measured_mb, memory_mb) == pytest.approx(expected, abs=0.05)


def test_less_memory_is_not_cheaper() -> None:
    measured = FIGURES["tasks"]["classification"]

    small, default = (costs.compute(costs.duration_ms(20, 1769, mb), mb, "x86_64") for mb in (512, 1769))

    assert measured["memory_mb"] == 1769
    assert small == pytest.approx(default)


def test_a_batch_costs_what_the_page_about_batches_says() -> None:
    page = (costs.ROOT / "docs" / "batches.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| **money**"))
    told = [float(text) for text in re.findall(r"\$([\d.]+)", row)]

    computed = [costs.batch(FIGURES["tasks"][task], task, "x86_64")[0] for task in costs.BATCHES]

    assert [round(each, 1) for each in computed] == told


def test_every_price_has_a_page_of_aws() -> None:
    assert all(price.source.startswith("https://aws.amazon.com/") for price in costs.PRICES.values())
    assert all(price.dollars > 0 for price in costs.PRICES.values())
