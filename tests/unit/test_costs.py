"""The cost tables: AWS's own examples, and that the page is what the script makes."""

from __future__ import annotations

import json
import re

import pytest

import costs
from local.template import read_template
from marked import with_block

FIGURES = json.loads(costs.FIGURES.read_text(encoding="utf-8"))
PAGE = costs.PAGE.read_text(encoding="utf-8")
TEMPLATE = read_template()
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def test_the_page_is_what_the_script_makes() -> None:
    assert with_block(PAGE, costs.BEGIN, costs.END, costs.report(FIGURES)) == PAGE, (
        "run python scripts/costs.py"
    )


def test_compute_costs_what_aws_says_in_its_example() -> None:
    # 3 million invocations of 120 ms at 1,536 MB are 540,000 GB-seconds: 9.00 dollars before the free tier.
    assert 3_000_000 * costs.compute(120, 1536, "x86_64") == pytest.approx(9.00, abs=0.001)


@pytest.mark.parametrize(
    ("measured_mb", "memory_mb", "expected"),
    [
        (1769, 1769, 100),
        (1769, 3538, 100),  # one thread has no use for a second vCPU
        (1769, 512, 345.5),
        (3538, 3538, 100),
        (3538, 1769, 200),
        (3008, 3008, 117.6),  # two threads on 1.7 vCPUs
    ],
)
def test_a_duration_grows_as_the_share_of_a_vcpu_shrinks(
    measured_mb: int, memory_mb: int, expected: float
) -> None:
    assert costs.duration_ms(100, measured_mb, memory_mb) == pytest.approx(expected, abs=0.05)


def test_an_upload_costs_what_its_parts_cost_by_hand() -> None:
    measured = {"memory_mb": 3008, "function": {"warm": 100.0}}

    # Dollars for a million uploads to segmentation, at list prices of us-east-1.
    form = 1.00 + 0.20 + 0.20 + 0.0208 + 1.15  # HTTP, two invocations, 0.00125 GB-seconds, 2.3 GB of logs
    jobs = 0.4167  # 50 ms x 0.5 GB = 0.025 GB-seconds, of 16.6667 dollars a million
    # Two threads on 3,008 / 1,769 = 1.7004 vCPUs: 117.6 ms and 100 ms of waiting; x 2.9375 GB.
    segmentation = 10.654 + 0.20 + 1.15
    notices = 0.2083 + 0.20 + 1.15 + 1.00  # 50 ms x 0.25 GB; the event
    objects = 3 * 5.00 + 0.40  # photo, result and overlay; one read
    queue, table = 3 * 0.40, 3 * 0.625 + 0.125
    by_hand = form + jobs + segmentation + notices + objects + queue + table

    assert by_hand == pytest.approx(36.15, abs=0.01)
    assert 1_000_000 * costs.upload(measured, "segmentation", "x86_64") == pytest.approx(by_hand, abs=0.01)


def test_a_batch_costs_and_takes_what_it_does_by_hand() -> None:
    # 80 ms on two cores are 94.1 ms on 1.7004 vCPUs; x 2.9375 GB x 1,000,000 photos = 276,400 GB-seconds.
    function = 4.607 + 0.004  # and 20,000 invocations
    transitions = 1.50  # 60,000 of 25 dollars a million
    objects = 0.40 + 0.105  # a million reads; 1,000 lists and 20,000 files of 5 dollars a million

    dollars, minutes = costs.batch({"memory_mb": 3008}, "segmentation", "x86_64")

    assert dollars == pytest.approx(function + transitions + objects, abs=0.002)
    assert minutes == pytest.approx(15.7, abs=0.05)  # 94,100 seconds by 100 at once


def test_the_page_counts_the_alarms_of_the_template_and_their_metrics() -> None:
    alarms = [each["Properties"] for each in TEMPLATE.resources("AWS::CloudWatch::Alarm").values()]
    # An alarm over an expression is paid for each metric in it: https://aws.amazon.com/cloudwatch/pricing/
    metrics = sum(len([m for m in each.get("Metrics", [each]) if "Expression" not in m]) for each in alarms)

    assert f"alarms, {len(alarms)} at $0.10 for each of their metrics, which are {metrics} |" in PAGE
    assert f"which are {metrics} | {metrics * 0.10:.2f} |" in PAGE


def test_the_page_counts_the_queues_that_lambda_polls() -> None:
    queues = len(TEMPLATE.resources("AWS::Lambda::EventSourceMapping")) - 1  # one reads the table's stream
    polls = queues * 5 * costs.HOURS_A_MONTH * 3600 / 20

    assert (
        f"{NUMBERS[queues]} queues without messages, five at a time, 20 s each "
        f"| {polls * costs.PRICES['queue'].dollars:.2f} |"
    ) in PAGE


def test_a_batch_costs_what_the_page_about_batches_says() -> None:
    page = (costs.ROOT / "docs" / "batches.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| **money**"))
    told = [float(text) for text in re.findall(r"\$([\d.]+)", row)]

    computed = [costs.batch(FIGURES["tasks"][task], task, "x86_64")[0] for task in costs.BATCHES]

    assert [round(each, 1) for each in computed] == told


def test_a_batch_takes_as_long_as_the_page_about_batches_says() -> None:
    page = (costs.ROOT / "docs" / "batches.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| **time**"))
    told = [int(text) for text in re.findall(r"(\d+) min", row)]

    computed = [costs.batch(FIGURES["tasks"][task], task, "x86_64")[1] for task in costs.BATCHES]

    assert [round(each) for each in computed] == told
