"""The environment, its defaults and its faults."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from vision.errors import InvalidSettings
from vision.settings import BucketFolder, Settings, read_settings


def test_an_empty_environment_gives_the_limits_of_the_contract() -> None:
    settings = read_settings({})

    assert settings.max_bytes == 4_500_000
    assert str(settings.models).endswith("/models")
    assert settings.input_bucket == settings.jobs_table == ""


def test_an_authorizer_s_cache_may_be_off_and_is_no_fraction() -> None:
    assert read_settings({"VISION_AUTHORIZER_CACHE_S": "0"}).authorizer_cache_s == 0
    assert read_settings({"VISION_AUTHORIZER_CACHE_S": "300"}).authorizer_cache_s == 300
    with pytest.raises(InvalidSettings, match="VISION_AUTHORIZER_CACHE_S"):
        read_settings({"VISION_AUTHORIZER_CACHE_S": "0.5"})


def test_models_are_in_a_layer_on_lambda() -> None:
    settings = read_settings({"AWS_LAMBDA_FUNCTION_NAME": "vision-classify"})

    assert settings.models == Path("/opt/models")


def test_a_function_that_was_not_told_how_callers_are_known_asks_for_keys() -> None:
    assert read_settings({"AWS_LAMBDA_FUNCTION_NAME": "vision-classify"}).auth == "API_KEY"
    assert read_settings({}).auth == "NONE"


def test_each_variable_reaches_its_setting() -> None:
    settings = read_settings(
        {
            "VISION_MODELS": "/srv/models",
            "VISION_MODEL": "squeezenet",
            "VISION_MAX_BYTES": "1000",
            "VISION_MAX_PIXELS": "2000",
            "VISION_MAX_UPLOAD_BYTES": "3000",
            "VISION_MAX_UPLOAD_PIXELS": "4000",
            "VISION_INPUT_BUCKET": "in",
            "VISION_RESULTS_BUCKET": "out",
            "VISION_JOBS_TABLE": "jobs",
            "VISION_ALLOWED_BUCKETS": "one, two,",
            "VISION_UPLOAD_EXPIRY_S": "60",
            "VISION_JOB_TTL_DAYS": "7",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        }
    )

    assert settings == Settings(
        models=Path("/srv/models"),
        model="squeezenet",
        max_bytes=1000,
        max_pixels=2000,
        max_upload_bytes=3000,
        max_upload_pixels=4000,
        input_bucket="in",
        results_bucket="out",
        jobs_table="jobs",
        allowed_buckets=("one", "two"),
        upload_expiry_s=60,
        job_ttl_days=7,
        memory_mb=3008,
        initialization="snap-start",
    )
    assert settings.readable_buckets == {"in", "out", "one", "two"}


@pytest.mark.parametrize(
    ("text", "bucket", "prefix", "written"),
    [
        ("s3://shelf/models", "shelf", "models/", "s3://shelf/models"),
        ("s3://shelf/a/b c/", "shelf", "a/b c/", "s3://shelf/a/b c"),
        ("s3://shelf", "shelf", "", "s3://shelf"),
        (" s3://my.shelf-1/ ", "my.shelf-1", "", "s3://my.shelf-1"),
    ],
)
def test_models_may_lie_in_s3(text: str, bucket: str, prefix: str, written: str) -> None:
    settings = read_settings({"VISION_MODELS": text})

    assert settings.models == BucketFolder(bucket, prefix)
    assert str(settings.models) == written


@pytest.mark.parametrize(
    "text", ["s3://", "s3:///models", "s3://Not A Bucket/x", "https://a/b", "S3://shelf/a"]
)
def test_an_address_that_is_no_place_in_s3_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings, match=r"VISION_MODELS=.*s3://bucket/prefix"):
        read_settings({"VISION_MODELS": text})


@pytest.mark.parametrize(
    ("variables", "start_s", "fetch_s"),
    [
        ({}, math.inf, math.inf),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}, 7, 20),
        (
            {
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
                "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
            },
            100,
            20,
        ),
    ],
    ids=["off lambda", "on demand", "provisioned"],
)
def test_a_download_ends_before_lambda_would_end_the_process(
    variables: dict[str, str], start_s: float, fetch_s: float
) -> None:
    settings = read_settings(variables)

    assert (settings.start_s, settings.fetch_s) == (start_s, fetch_s)


def test_an_empty_variable_counts_as_unset() -> None:
    assert read_settings({"VISION_MAX_BYTES": "  "}) == read_settings({})


def test_one_error_names_every_variable_at_fault() -> None:
    environment = {"VISION_MAX_BYTES": "lots", "VISION_MAX_PIXELS": "-1", "VISION_JOB_TTL_DAYS": "0"}

    with pytest.raises(InvalidSettings) as caught:
        read_settings(environment)

    assert all(variable in caught.value.detail for variable in environment)


def test_a_deployment_without_buckets_reads_from_none() -> None:
    assert read_settings({}).readable_buckets == frozenset()


@pytest.mark.parametrize(
    ("memory_mb", "cores", "threads"),
    [(128, 4, 1), (1769, 4, 1), (3538, 4, 2), (10_240, 4, 4), (10_240, 8, 6), (0, 3, 3)],
)
def test_threads_follow_the_memory_and_never_exceed_the_cores(
    monkeypatch: pytest.MonkeyPatch, memory_mb: int, cores: int, threads: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)

    settings = Settings(models=Path(), memory_mb=memory_mb)

    assert settings.num_threads == threads
