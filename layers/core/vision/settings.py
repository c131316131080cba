"""The environment, read once into one frozen `Settings`; the only place that knows variable names."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from vision.errors import InvalidSettings
from vision.frozen import dataclass

Auth = Literal["API_KEY", "JWT", "IAM", "NONE"]

ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"
LAYER_MODELS = Path("/opt/models")
MEGABYTES_A_CPU = 1769  # Lambda gives one vCPU per 1,769 MB of memory

# How long a model may take to come from S3. A function has 10 s to start, or is started again with its first
# event; with provisioned concurrency it has 130 s. An answer over HTTP must come within 30 s, and the model
# has to be loaded and run in them too.
START_S, PROVISIONED_START_S, FETCH_S = 7, 100, 20
_S3_PREFIX = r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?"


@dataclass(frozen=True, slots=True)
class BucketFolder:
    """A place in S3 that holds things as a folder would.

    Attributes:
        bucket: its name.
        prefix: of the keys; empty, or ends with a slash.
    """

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; every field has a safe default but the AWS resources.

    Attributes:
        models: the folder that holds one folder a model, on disk or in S3.
        model: id of the model to use where a request names none; empty: the card marked default.
        max_bytes: largest image and largest answer over HTTP, in bytes.
        max_pixels: largest image over HTTP, in pixels.
        max_upload_bytes: largest image uploaded to the bucket, in bytes.
        max_upload_pixels: largest image uploaded to the bucket, in pixels.
        input_bucket: where uploads arrive; empty: no uploads.
        results_bucket: where results of uploads are written.
        jobs_table: the DynamoDB table of jobs.
        state_machine: ARN of the Step Functions state machine that runs batches; empty: no batches.
        swagger_ui: the folder with the files of Swagger UI; none: beside the portal function.
        presets: the presets of transforms as JSON text; empty: those that are built in.
        allowed_buckets: further buckets that requests may refer to.
        bucket_origins: where the page sends uploads and reads large answers, such as `https://name.s3.amazonaws.com`.
        auth: how callers over HTTP are known; `NONE`: they are not asked.
        keys_secret: name or ARN of the secret that holds the callers' keys.
        keys_refresh_s: seconds after which the keys are read again.
        authorizer_cache_s: seconds for which API Gateway keeps what the authorizer says of a key.
        upload_expiry_s: how long a presigned upload may be used, in seconds.
        job_ttl_days: how long the row of a job is kept, in days.
        max_receives: how often an event is delivered before it is dead-lettered; 0: not known.
        memory_mb: memory of the function in MB; 0: not on Lambda, all cores are used.
        initialization: how Lambda starts the function: `on-demand`, `provisioned-concurrency`, `snap-start`.
    """

    models: Path | BucketFolder
    model: str = ""
    max_bytes: int = 4_500_000
    max_pixels: int = 50_000_000
    max_upload_bytes: int = 50_000_000
    max_upload_pixels: int = 100_000_000
    input_bucket: str = ""
    results_bucket: str = ""
    jobs_table: str = ""
    state_machine: str = ""
    swagger_ui: Path | None = None
    presets: str = ""
    allowed_buckets: tuple[str, ...] = ()
    bucket_origins: tuple[str, ...] = ()
    auth: Auth = "NONE"
    keys_secret: str = ""
    keys_refresh_s: int = 60
    authorizer_cache_s: int = 0
    upload_expiry_s: int = 900
    job_ttl_days: int = 30
    max_receives: int = 0
    memory_mb: int = 0
    initialization: str = "on-demand"

    @property
    def start_s(self) -> float:
        """Seconds that a model may take to come from S3 while the function starts; no limit off Lambda."""
        if not self.memory_mb:
            return math.inf
        return START_S if self.initialization == "on-demand" else PROVISIONED_START_S

    @property
    def fetch_s(self) -> float:
        """Seconds that a model may take to come from S3 while a request waits; no limit off Lambda."""
        return FETCH_S if self.memory_mb else math.inf

    @property
    def num_threads(self) -> int:
        """Threads for inference: one a vCPU of the function, never more than the cores."""
        cores = os.cpu_count() or 1
        if not self.memory_mb:
            return cores
        return max(1, min(cores, round(self.memory_mb / MEGABYTES_A_CPU)))

    @property
    def readable_buckets(self) -> frozenset[str]:
        """The buckets a request may refer to."""
        own = (self.input_bucket, self.results_bucket)
        return frozenset(bucket for bucket in (*own, *self.allowed_buckets) if bucket)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Gives the settings of an environment.

    Raises:
        InvalidSettings: one error that names every variable at fault.
    """
    values: dict[str, Any] = {"models": _default_models(environment), "auth": _default_auth(environment)}
    problems = []
    for variable, (field, parse) in VARIABLES.items():
        text = environment.get(variable, "").strip()
        if not text:
            continue
        try:
            values[field] = parse(text)
        except ValueError as error:
            problems.append(f"{variable}={text!r}: {error}")
    if problems:
        raise InvalidSettings("; ".join(problems))
    return Settings(**values)


def _default_models(environment: Mapping[str, str]) -> Path:
    if ON_LAMBDA in environment:
        return LAYER_MODELS
    return Path(__file__).resolve().parents[3] / "models"


def _default_auth(environment: Mapping[str, str]) -> Auth:
    # A deployment that lost the variable is closed, not open.
    return "API_KEY" if ON_LAMBDA in environment else "NONE"


def _place(text: str) -> Path | BucketFolder:
    found = re.fullmatch(_S3_PREFIX, text)
    if found:
        prefix = (found[2] or "").strip("/")
        return BucketFolder(found[1], f"{prefix}/" if prefix else "")
    if "://" in text:
        raise ValueError("must be a folder, or s3://bucket/prefix")
    return Path(text)


def _auth(text: str) -> str:
    if text not in get_args(Auth):
        raise ValueError(f"must be one of {', '.join(get_args(Auth))}")
    return text


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("must be a whole number")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("must be a positive whole number")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _origins(text: str) -> tuple[str, ...]:
    # They stand in a header, where a space or a semicolon would say something else.
    found = [re.fullmatch(r"(https?://[\w.-]+(?::\d+)?)(?:/\S*)?", name) for name in _names(text)]
    if not all(found):
        raise ValueError("must be addresses such as https://example.org, comma-separated")
    return tuple(each[1] for each in found if each)


VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "VISION_MODELS": ("models", _place),
    "VISION_MODEL": ("model", str),
    "VISION_MAX_BYTES": ("max_bytes", _positive),
    "VISION_MAX_PIXELS": ("max_pixels", _positive),
    "VISION_MAX_UPLOAD_BYTES": ("max_upload_bytes", _positive),
    "VISION_MAX_UPLOAD_PIXELS": ("max_upload_pixels", _positive),
    "VISION_INPUT_BUCKET": ("input_bucket", str),
    "VISION_RESULTS_BUCKET": ("results_bucket", str),
    "VISION_JOBS_TABLE": ("jobs_table", str),
    "VISION_STATE_MACHINE": ("state_machine", str),
    "VISION_SWAGGER_UI": ("swagger_ui", Path),
    "VISION_PRESETS": ("presets", str),
    "VISION_ALLOWED_BUCKETS": ("allowed_buckets", _names),
    "VISION_BUCKET_ORIGINS": ("bucket_origins", _origins),
    # Where S3 is not AWS's, presigned forms lead there.
    "AWS_ENDPOINT_URL": ("bucket_origins", _origins),
    "AWS_ENDPOINT_URL_S3": ("bucket_origins", _origins),
    "VISION_AUTH": ("auth", _auth),
    "VISION_KEYS_SECRET": ("keys_secret", str),
    "VISION_KEYS_REFRESH_S": ("keys_refresh_s", _positive),
    "VISION_AUTHORIZER_CACHE_S": ("authorizer_cache_s", _whole),
    "VISION_UPLOAD_EXPIRY_S": ("upload_expiry_s", _positive),
    "VISION_JOB_TTL_DAYS": ("job_ttl_days", _positive),
    "VISION_MAX_RECEIVES": ("max_receives", _positive),
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": ("memory_mb", _positive),
    "AWS_LAMBDA_INITIALIZATION_TYPE": ("initialization", str),
}
