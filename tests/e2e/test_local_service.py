"""The local service as a user meets it: over HTTP and through its bucket, until Ctrl-C."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3
from numpy.typing import NDArray
from tests.e2e.conftest import REPOSITORY, LocalService, Start

TASKS = {"classification": "/v1/classify", "detection": "/v1/detect", "segmentation": "/v1/segment"}
JPEG = {"Content-Type": "image/jpeg"}
ELEVEN_MEGABYTES = 11 * 1024 * 1024


@pytest.fixture(scope="session")
def jpeg(photo: NDArray[Any], encode: Callable[..., bytes]) -> bytes:
    return encode(photo, "JPEG")


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Waits until a condition holds and gives its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def rows_of(service: LocalService, key: str) -> list[dict[str, Any]]:
    """The rows of the jobs table for an object."""
    items = service.clients.dynamodb.scan(TableName=service.names["JobsTable"])["Items"]
    rows = [{name: next(iter(value.values())) for name, value in item.items()} for item in items]
    return [row for row in rows if row.get("key") == key]


def ended_job(service: LocalService, key: str, seconds: float = 60) -> dict[str, Any]:
    """What GET /v1/jobs/{id} answers for an object, once its job has ended."""

    def ended() -> list[str]:
        return [row["id"] for row in rows_of(service, key) if row.get("status") in ("succeeded", "failed")]

    (identifier,) = wait_for(ended, seconds)
    response = service.request("GET", f"/v1/jobs/{identifier}")
    assert response.status == 200
    job: dict[str, Any] = response.json()
    return job


def put(service: LocalService, key: str, body: bytes) -> None:
    service.clients.s3.put_object(Bucket=service.names["InputBucket"], Key=key, Body=body)


def queues(service: LocalService, part: str) -> list[str]:
    return [url for url in service.clients.sqs.list_queues()["QueueUrls"] if part in url]


def num_messages(service: LocalService, part: str) -> int:
    total = 0
    for url in queues(service, part):
        counts = service.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        total += sum(int(counts[name]) for name in counts if name.startswith("ApproximateNumberOfMessages"))
    return total


def assert_problem(response: urllib3.BaseHTTPResponse, status: int) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-Id"]
    assert problem["status"] == status
    assert problem.keys() >= {"type", "title", "status", "detail", "instance"}
    assert "Traceback" not in problem["detail"]
    return problem


def test_health_names_the_models(service: LocalService) -> None:
    health = service.request("GET", "/health").json()

    assert {model["task"] for model in health["models"]} == TASKS.keys()


@pytest.mark.parametrize("path", TASKS.values())
def test_a_photo_over_http_is_answered(service: LocalService, jpeg: bytes, path: str) -> None:
    response = service.request("POST", path, jpeg, JPEG)

    assert response.status == 200
    assert response.json()["image"] == {"width": 60, "height": 40}
    assert "inference;dur=" in response.headers["Server-Timing"]
    assert response.headers["X-Request-Id"]


def test_query_parameters_and_binary_answers_pass_the_gateway(service: LocalService, jpeg: bytes) -> None:
    best = service.request("POST", "/v1/classify?top_k=1", jpeg, JPEG).json()["predictions"]
    drawn = service.request("POST", "/v1/segment", jpeg, {**JPEG, "Accept": "image/png"})

    assert len(best) == 1
    assert drawn.headers["Content-Type"] == "image/png"
    assert drawn.data.startswith(b"\x89PNG\r\n")


def test_many_requests_at_once_are_all_answered(service: LocalService, jpeg: bytes) -> None:
    paths = list(TASKS.values()) * 8

    with ThreadPoolExecutor(len(paths)) as threads:
        responses = list(threads.map(lambda path: service.request("POST", path, jpeg, JPEG), paths))

    assert [response.status for response in responses] == [200] * len(paths)
    assert all("model" in response.json() for response in responses)


@pytest.mark.parametrize("path", ["/nothing", "/v1/classify/", "/v1", "/v1/jobs/a/b", "/%00"])
def test_an_unknown_path_is_a_404_problem(service: LocalService, path: str) -> None:
    assert_problem(service.request("GET", path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/classify", "POST"),
        ("DELETE", "/hf/object-detection", "POST"),
        ("GET", "/v1/jobs", "POST"),
        ("POST", "/health", "GET"),
        ("PUT", "/v1/models", "GET"),
    ],
)
def test_a_wrong_method_is_a_405_problem_that_says_which_are_right(
    service: LocalService, method: str, path: str, allowed: str
) -> None:
    response = service.request(method, path)

    assert_problem(response, 405)
    assert response.headers["Allow"] == allowed


@pytest.mark.parametrize("num_bytes", [ELEVEN_MEGABYTES, 60_000_000])
def test_a_body_too_large_for_api_gateway_gets_a_readable_413(service: LocalService, num_bytes: int) -> None:
    response = service.request("POST", "/v1/classify", bytes(num_bytes), JPEG)

    assert "POST /v1/jobs" in assert_problem(response, 413)["detail"]


def test_a_large_body_of_unknown_length_gets_a_readable_413(service: LocalService) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(11):
            yield bytes(1024 * 1024)

    response = urllib3.request(
        "POST", f"{service.url}/v1/classify", body=chunks(), headers=JPEG, retries=False
    )

    assert "POST /v1/jobs" in assert_problem(response, 413)["detail"]


def test_a_body_too_large_for_lambda_gets_a_readable_413(service: LocalService) -> None:
    response = service.request("POST", "/v1/classify", bytes(8_000_000), JPEG)

    assert "POST /v1/jobs" in assert_problem(response, 413)["detail"]


def test_an_upload_by_presigned_form_ends_as_a_succeeded_job(service: LocalService, jpeg: bytes) -> None:
    order = {"task": "detection", "filename": "my cat.jpg", "content_type": "image/jpeg"}
    created = service.post_json("/v1/jobs", order)
    assert created.status == 201
    upload = created.json()["upload"]

    fields = {**upload["fields"], "file": ("my cat.jpg", jpeg, "image/jpeg")}
    uploaded = urllib3.request("POST", upload["url"], fields=fields, retries=False)

    assert uploaded.status in (200, 204), uploaded.data
    job = ended_job(service, created.json()["key"])
    assert (job["id"], job["status"], job["task"]) == (created.json()["id"], "succeeded", "detection")
    assert job["result"]["image"] == {"width": 60, "height": 40}
    assert job["result_location"]["bucket"] == service.names["ResultsBucket"]


@pytest.mark.parametrize("task", TASKS)
def test_an_object_with_space_plus_and_umlaut_in_its_key_is_processed(
    service: LocalService, jpeg: bytes, task: str
) -> None:
    key = f"uploads/{task}/a b+ü.jpg"

    put(service, key, jpeg)

    job = ended_job(service, key)
    assert job["status"] == "succeeded"
    assert job["input"] == {"bucket": service.names["InputBucket"], "key": key}
    stored = service.clients.s3.get_object(
        Bucket=job["result_location"]["bucket"], Key=job["result_location"]["key"]
    )
    assert json.loads(stored["Body"].read()) == job["result"]


def test_an_event_delivered_three_times_makes_one_result(service: LocalService, jpeg: bytes) -> None:
    key = "uploads/classification/thrice.jpg"
    bucket = service.names["InputBucket"]
    put(service, key, jpeg)
    first = ended_job(service, key)
    location = first["result_location"]
    stored = service.clients.s3.head_object(Bucket=location["bucket"], Key=location["key"])
    etag = service.clients.s3.head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
    news = {"bucket": {"name": bucket}, "object": {"key": key, "size": len(jpeg), "eTag": etag}}
    event = {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": news}]}

    (queue,) = queues(service, "vision-classification-")
    time.sleep(1.1)  # Last-Modified has no fractions
    for _ in range(2):
        service.clients.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    wait_for(lambda: num_messages(service, "vision-classification-") == 0)

    again = service.clients.s3.head_object(Bucket=location["bucket"], Key=location["key"])
    assert ended_job(service, key) == first
    assert again["LastModified"] == stored["LastModified"]
    assert num_messages(service, "DeadLetters") == 0


def test_a_text_named_jpg_fails_with_its_problem_and_is_not_tried_again(service: LocalService) -> None:
    key = "uploads/segmentation/notes.jpg"

    put(service, key, b"milk, bread, eggs")

    job = ended_job(service, key)
    assert job["status"] == "failed"
    assert job["problem"]["status"] in (400, 415)
    assert job["problem"]["detail"]
    wait_for(lambda: num_messages(service, "vision-segmentation-") == 0)
    assert num_messages(service, "DeadLetters") == 0
    assert service.log.read_text().count("notes.jpg") == 1


def test_a_killed_process_is_replaced(service: LocalService) -> None:
    before = service.workers("portal")

    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not set(before) & set(service.workers("portal")))

    assert service.request("GET", "/health").status == 200
    assert len(service.workers("portal")) == 1


def test_a_taken_port_is_one_clear_sentence(service: LocalService) -> None:
    port = service.url.rsplit(":", 1)[1]

    second = subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / "serve.py"],
        env={**os.environ, "PORT": port},
        capture_output=True,
        text=True,
        check=False,
    )

    assert second.returncode == 1
    assert second.stdout == ""
    assert len(second.stderr.splitlines()) == 1
    assert port in second.stderr


@pytest.mark.slow
def test_without_models_it_starts_and_says_what_to_do(start_service: Start, tmp_path: Path) -> None:
    service = start_service(tmp_path)

    assert "make models" in service.log.read_text()
    assert service.request("GET", "/health").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_stops_at_once_and_leaves_nothing_behind(
    start_service: Start, models_folder: Path, jpeg: bytes, stop_signal: signal.Signals
) -> None:
    service = start_service(models_folder)
    assert service.request("POST", "/v1/classify", jpeg, JPEG).status == 200
    workers = service.workers()
    assert len(workers) >= 5

    seconds = service.stop(stop_signal)

    assert service.process.returncode == 0
    assert seconds < 10  # one, where nothing else runs
    assert wait_for(lambda: not any(_runs(pid) for pid in workers), 5)
    assert "Traceback" not in service.log.read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1])))


@pytest.mark.slow
def test_when_a_process_is_killed_in_the_middle_of_uploads_none_is_lost_and_none_is_done_twice(
    start_service: Start, models_folder: Path, jpeg: bytes, tmp_path: Path
) -> None:
    # A short time limit, so that the claims of the process that died run out while the test waits.
    template = tmp_path / "template.yaml"
    text = (REPOSITORY / "template.yaml").read_text()
    template.write_text(
        text.replace("Timeout: 30", "Timeout: 2").replace("CodeUri: ", f"CodeUri: {REPOSITORY}/")
    )
    service = start_service(models_folder, "--template", str(template), LOG="json")
    keys = [f"uploads/classification/{number}.jpg" for number in range(24)]

    def upload() -> None:
        for key in keys:
            put(service, key, jpeg)

    def kill_one_that_works() -> bool:
        for pid in service.workers("classification"):
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        return "ended with status -9" in service.log.read_text()  # which only an event in hand is told

    uploads = threading.Thread(target=upload)
    uploads.start()
    wait_for(lambda: any(row["status"] == "running" for key in keys for row in rows_of(service, key)))
    wait_for(kill_one_that_works)
    uploads.join()

    jobs = [ended_job(service, key, seconds=60) for key in keys]
    # A message whose process died comes again when its time is up, and finds its job done.
    wait_for(lambda: num_messages(service, "vision-classification-") == 0, 120)
    answered = re.findall(r'"message": ?"upload answered".*?"job": ?"(\w+)"', service.log.read_text())
    results = service.clients.s3.list_objects_v2(Bucket=service.names["ResultsBucket"])["Contents"]
    assert {job["status"] for job in jobs} == {"succeeded"}
    # A process may have been killed between the end of a job and its line in the log.
    assert len(jobs) - 2 <= len(answered) == len(set(answered))
    assert [len(rows_of(service, key)) for key in keys] == [1] * len(keys)
    assert {each["Key"] for each in results} == {f"results/classification/{key}.json" for key in keys}
    assert num_messages(service, "DeadLetters") == 0


@pytest.mark.pretrained
def test_the_default_models_know_the_pets(pretrained_service: LocalService, test_images: Path) -> None:
    def ask(path: str, photo: str) -> Any:
        return pretrained_service.request("POST", path, (test_images / photo).read_bytes(), JPEG).json()

    dogs = ask("/v1/detect", "detection/pets.jpg")["predictions"]
    cats = ask("/v1/detect", "detection/cat_720p.jpg")["predictions"]
    segments = ask("/v1/segment?mask_format=none", "detection/pets.jpg")["segments"]

    assert [each["label"] for each in dogs] == ["dog", "dog"]
    assert "cat" in {each["label"] for each in cats}
    assert [segment["label"] for segment in segments] == ["dog"]


@pytest.mark.pretrained
def test_a_photo_put_into_the_bucket_is_answered_by_the_default_model(
    pretrained_service: LocalService, test_images: Path
) -> None:
    key = "uploads/segmentation/pets.jpg"

    put(pretrained_service, key, (test_images / "detection/pets.jpg").read_bytes())

    job = ended_job(pretrained_service, key)
    assert (job["status"], job["model"]) == ("succeeded", "deeplabv3_mnv2")
    assert [segment["label"] for segment in job["result"]["segments"]] == ["dog"]


def _runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in ("", "Z")  # one that has ended is there until somebody asks how
