"""What the service costs: measured durations times list prices, written into docs/costs.md.

`python scripts/costs.py` rewrites the marked part of the page from docs/cold-start.json, which
`make bench-cold OPTIONS=--write` keeps, and from the tables here. Every price is here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marked import with_block

ROOT = Path(__file__).resolve().parents[1]
PAGE, FIGURES = ROOT / "docs" / "costs.md", ROOT / "docs" / "cold-start.json"
BEGIN, END = "<!-- scripts/costs.py: begin -->", "<!-- scripts/costs.py: end -->"

MILLION, MB_A_VCPU, MB_A_GB = 1_000_000, 1769, 1024
MEMORY_MB = (512, 1024, 1769, 3008, 3538)
COLD_SHARE = 0.01  # of requests; AWS names under 1 % as typical


@dataclass(frozen=True, slots=True)
class Price:
    """A list price of us-east-1, first tier, without the free tier.

    Attributes:
        dollars: for one unit.
        unit: what is counted.
        source: AWS's page.
    """

    dollars: float
    unit: str
    source: str


_AWS = "https://aws.amazon.com"
PRICES = {
    "x86_64": Price(0.0000166667, "GB-second of an x86_64 function", f"{_AWS}/lambda/pricing/"),
    "arm64": Price(0.0000133334, "GB-second of an arm64 function", f"{_AWS}/lambda/pricing/"),
    "invocation": Price(0.20 / MILLION, "invocation of a function", f"{_AWS}/lambda/pricing/"),
    "http": Price(1.00 / MILLION, "HTTP API request, each 512 KB", f"{_AWS}/api-gateway/pricing/"),
    "get": Price(0.40 / MILLION, "S3 GET", f"{_AWS}/s3/pricing/"),
    "put": Price(5.00 / MILLION, "S3 PUT or LIST", f"{_AWS}/s3/pricing/"),
    "queue": Price(0.40 / MILLION, "SQS request", f"{_AWS}/sqs/pricing/"),
    "write": Price(0.625 / MILLION, "DynamoDB write, on demand", f"{_AWS}/dynamodb/pricing/on-demand/"),
    "read": Price(0.125 / MILLION, "DynamoDB read, on demand", f"{_AWS}/dynamodb/pricing/on-demand/"),
    "transition": Price(25.0 / MILLION, "Step Functions state transition", f"{_AWS}/step-functions/pricing/"),
    "event": Price(1.00 / MILLION, "event put on EventBridge", f"{_AWS}/eventbridge/pricing/"),
    "logs": Price(0.50, "GB of logs taken in", f"{_AWS}/cloudwatch/pricing/"),
    "container": Price(
        0.04048 + 2 * 0.004445, "hour of Fargate, 1 vCPU and 2 GB", f"{_AWS}/fargate/pricing/"
    ),
}
_AS_OF = "List prices of us-east-1 as published in 2025, without the free tier. The pages have today's."
HOURS_A_MONTH = 730
# Assumed, not measured: bytes of logs (our line, two of metrics, Lambda's three, API Gateway's access log),
# the functions beside those that were measured, and how long an upload waits for S3 and DynamoDB.
LOG_BYTES = 2300
AUTHORIZER_MB, AUTHORIZER_MS = 256, 5
JOBS_MB, JOBS_MS = 512, 50
NOTICES_MB, NOTICES_MS = 256, 50
UPLOAD_WAIT_MS = 100

# Of docs/batches.md: milliseconds a photo, measured on as many cores as the default memory has vCPUs, with
# the read of S3 hidden behind the work; photos a part.
BATCHES = {"classification": (28, 200), "detection": (38, 200), "segmentation": (80, 50)}
TRANSITIONS_A_PART, BATCH_CONCURRENCY, KEYS_A_LIST = 3, 100, 1000


def duration_ms(measured_ms: float, measured_mb: int, memory_mb: int) -> float:
    """Milliseconds of an event at a memory size.

    Lambda gives memory / 1769 of a vCPU. The work is taken to be the same at every size, and to be shared by
    as many threads as were measured: less memory takes longer in proportion, more takes no shorter.
    """
    cores = max(1, round(measured_mb / MB_A_VCPU))
    return max(measured_ms, measured_ms * cores * MB_A_VCPU / memory_mb)


def compute(milliseconds: float, memory_mb: int, architecture: str) -> float:
    """Dollars of one invocation's time and memory."""
    return milliseconds / 1000 * memory_mb / MB_A_GB * PRICES[architecture].dollars


def http_request(measured: Mapping[str, Any], memory_mb: int, architecture: str) -> float:
    """Dollars of one photo of at most 512 KB over HTTP: authorizer, logs and its share of cold starts."""
    function = measured["function"]
    warm = duration_ms(function["warm"], measured["memory_mb"], memory_mb)
    # Lambda bills the start as well; it runs at whole vCPUs whatever the memory.
    cold = COLD_SHARE * compute(function["total"], memory_mb, architecture)
    return cold + compute(warm, memory_mb, architecture) + _around_a_request(architecture)


def _around_a_request(architecture: str) -> float:
    return (
        PRICES["http"].dollars
        + 2 * PRICES["invocation"].dollars
        + compute(AUTHORIZER_MS, AUTHORIZER_MB, architecture)
        + LOG_BYTES / 1e9 * PRICES["logs"].dollars
    )


def upload(measured: Mapping[str, Any], task: str, architecture: str) -> float:
    """Dollars of one upload by a job: form, object, message, function, result, overlay and notice."""
    memory_mb = measured["memory_mb"]
    warm = duration_ms(measured["function"]["warm"], memory_mb, memory_mb)
    objects_written = 2 if task == "classification" else 3
    return (
        _around_a_request(architecture)
        + compute(JOBS_MS, JOBS_MB, architecture)
        + compute(
            warm + UPLOAD_WAIT_MS, memory_mb, architecture
        )  # a wait takes no longer with less of a vCPU
        + compute(NOTICES_MS, NOTICES_MB, architecture)
        + 2 * (PRICES["invocation"].dollars + LOG_BYTES / 1e9 * PRICES["logs"].dollars)
        + objects_written * PRICES["put"].dollars
        + PRICES["get"].dollars
        + 3 * PRICES["queue"].dollars
        + 3 * PRICES["write"].dollars
        + PRICES["read"].dollars
        + PRICES["event"].dollars
    )


def batch(measured: Mapping[str, Any], task: str, architecture: str) -> tuple[float, float]:
    """Dollars and minutes of a batch of a million photos at the default concurrency, logs left out."""
    memory_mb, (read_ahead, photos) = measured["memory_mb"], BATCHES[task]
    milliseconds = duration_ms(read_ahead, memory_mb, memory_mb)
    parts = MILLION // photos
    dollars = (
        MILLION * compute(milliseconds, memory_mb, architecture)
        + parts * PRICES["invocation"].dollars
        + parts * TRANSITIONS_A_PART * PRICES["transition"].dollars
        + MILLION * PRICES["get"].dollars
        + (MILLION // KEYS_A_LIST + parts) * PRICES["put"].dollars
    )
    return dollars, MILLION * milliseconds / BATCH_CONCURRENCY / 60_000


def report(figures: Mapping[str, Any]) -> str:
    """The tables as Markdown."""
    tasks = figures["tasks"]
    lines = ["### A million requests over HTTP", "", f"Dollars, of them {_fixed()} whatever the memory.", ""]
    lines += ["| task | memory | duration | x86_64 | arm64 |", "| --- | ---: | ---: | ---: | ---: |"]
    for task, measured in tasks.items():
        for memory in MEMORY_MB:
            is_default = " (default)" if memory == measured["memory_mb"] else ""
            duration = duration_ms(measured["function"]["warm"], measured["memory_mb"], memory)
            money = [MILLION * http_request(measured, memory, kind) for kind in ("x86_64", "arm64")]
            cells = f"{memory:,} MB{is_default} | {duration:,.0f} ms | {money[0]:,.2f} | {money[1]:,.2f}"
            lines.append(f"| {task} | {cells} |")
    lines += ["", "### Cold starts", ""]
    lines += ["| task | a cold start | a million requests, 1 % of them cold |", "| --- | ---: | ---: |"]
    for task, measured in tasks.items():
        one = compute(measured["function"]["total"], measured["memory_mb"], "x86_64")
        total = f"{measured['function']['total']:,.0f} ms"
        lines.append(f"| {task} | {total}, ${one:.7f} | ${MILLION * COLD_SHARE * one:.2f} |")
    lines += ["", "### A million photos by upload, and as a batch", ""]
    lines += [
        "| task | uploads | batch, x86_64 | batch, arm64 | batch, time |",
        "| --- " + "| ---: " * 4 + "|",
    ]
    for task, measured in tasks.items():
        uploads = MILLION * upload(measured, task, "x86_64")
        cells = "- | - | -"
        if task in BATCHES:
            (x86, minutes), (arm, _) = batch(measured, task, "x86_64"), batch(measured, task, "arm64")
            cells = f"${x86:.2f} | ${arm:.2f} | {minutes:.0f} min"
        lines.append(f"| {task} | ${uploads:,.0f} | {cells} |")
    lines += ["", "### Beside a machine that is always on", "", _beside_a_container(tasks), ""]
    lines += ["### Prices", "", _AS_OF, ""]
    lines += ["| dollars | for | source |", "| ---: | --- | --- |"]
    lines += [f"| {_dollars(each)} | {each.source} |" for each in PRICES.values()]
    return "\n".join(lines)


def _fixed() -> str:
    return f"{MILLION * _around_a_request('x86_64'):.2f}"


def _beside_a_container(tasks: Mapping[str, Any]) -> str:
    month = HOURS_A_MONTH * PRICES["container"].dollars
    requests = {
        task: month / http_request(measured, measured["memory_mb"], "x86_64")
        for task, measured in tasks.items()
    }
    listed = ", ".join(f"{number / MILLION:.1f} million for {task}" for task, number in requests.items())
    return (
        f"One Fargate task of 1 vCPU and 2 GB costs ${month:.0f} a month, used or not, without the load "
        f"balancer that it needs. For that this service answers {listed}. In hours without requests it costs "
        "nothing."
    )


def _dollars(price: Price) -> str:
    if price.dollars > 0.01:
        return f"{price.dollars:.5f}".rstrip("0") + f" | {price.unit}"
    return f"{MILLION * price.dollars:.3f}".rstrip("0").rstrip(".") + f" | a million of: {price.unit}"


def main() -> int:
    """Rewrites the marked part of the page."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    PAGE.write_text(
        with_block(PAGE.read_text(encoding="utf-8"), BEGIN, END, report(figures)), encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
