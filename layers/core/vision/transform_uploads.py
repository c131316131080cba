"""Transforms of uploads: pictures in the results bucket, and JSON that names them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import replies
from vision.aws import ObjectStore
from vision.claims import Job
from vision.delivery import Delivery
from vision.errors import BadRequest, InvalidParameter
from vision.presets import Presets
from vision.replies import Json
from vision.request import S3Object
from vision.settings import Settings
from vision.telemetry import Stopwatch, count_image
from vision.transform import EXTENSIONS, Transform, Variant, open_transform, run_transform
from vision.transform_parameters import TransformParameters, read_transform_parameters
from vision.transform_response import described, envelope

NO_PRESET = "ops"  # what once-only handling counts by where the job has operations of its own
_PRESET_KEY = re.compile(r"uploads/transform/(?!(?:[0-9a-f]{32})/)([^/]+)/.+", re.DOTALL)
_JOB_KEY = re.compile(r"uploads/transform/[0-9a-f]{32}/.+", re.DOTALL)
_MAX_KEY_BYTES = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_PNG = "image/png"


class Pictures:
    """Transforms of objects, written to the results bucket.

    Args:
        settings: limits and buckets.
        store: where objects are.
    """

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._bucket = settings.results_bucket
        self._store = store
        self._delivery = Delivery("transform", settings, store)

    def write(
        self,
        source: S3Object,
        parameters: TransformParameters,
        watch: Stopwatch,
        *,
        name: str,
        default_seed: int = 0,
        is_upload: bool = False,
    ) -> dict[str, Json]:
        """Transforms one object and writes the pictures; gives the JSON that names them.

        Args:
            source: the object.
            parameters: checked.
            watch: gets the time of each stage.
            name: of the picture in the results bucket without its extension, or of the folder of variants.
            default_seed: for parameters without a seed; the same each time the object is handled again.
            is_upload: whether the object may be in any bucket.

        Raises:
            VisionError: what is wrong with the object or the parameters, or may pass.
        """
        with self._delivery.within_memory(source):
            data, max_pixels = self._delivery.receive(source, is_upload=is_upload)
            with watch.stage("decode"):
                transform = open_transform(data, parameters, max_pixels=max_pixels, default_seed=default_seed)
            _check_key(f"{name}/000-mask.png")
            watch.facts["pixels"] = transform.photo.width * transform.photo.height
            # One at a time: what is written need not be kept in memory.
            variants = [
                self._written(transform, variant, name if parameters.n is None else f"{name}/{index:03}")
                for index, variant in enumerate(run_transform(transform, watch))
            ]
        count_image(watch)
        preset = {"preset": parameters.preset} if parameters.preset else {}
        return {**preset, **envelope(transform), "variants": variants}

    def _written(self, transform: Transform, variant: Variant, name: str) -> dict[str, Json]:
        key, mask_key = f"{name}.{EXTENSIONS[transform.format]}", f"{name}-mask.png"
        self._store.put(self._bucket, key, variant.data, transform.content_type)
        if variant.mask is not None:
            self._store.put(self._bucket, mask_key, variant.mask, _PNG)
        image = {"content_type": transform.content_type, "bucket": self._bucket, "key": key}
        return described(variant, image, {"bucket": self._bucket, "key": mask_key})


class TransformUploads:
    """The `UploadWork` of transforms.

    Args:
        settings: the results bucket.
        presets: parameters by the name of the preset.
        store: where objects are.
    """

    def __init__(self, settings: Settings, presets: Presets, store: ObjectStore) -> None:
        self._bucket = settings.results_bucket
        self._presets = presets
        self._store = store
        self._pictures = Pictures(settings, store)

    def model(self, source: S3Object, parameters: Mapping[str, object]) -> str:
        """The preset that the job or the object's key names."""
        found = _PRESET_KEY.fullmatch(source.key)
        return str(parameters.get("preset") or (found[1] if found else NO_PRESET))

    def store(self, job: Job, _context: LambdaContext) -> S3Object:
        """Writes the pictures, then the JSON that names them."""
        parameters = read_transform_parameters(self._parameters(job), self._presets)
        name = f"results/transform/{job.source.key}"
        document = self._pictures.write(
            job.source,
            parameters,
            Stopwatch(),
            name=name,
            # A second delivery after a fault draws the same and writes the same.
            default_seed=stable_seed(job.id),
            is_upload=True,
        )
        key, data = f"{name}.json", replies.to_json(document).encode()
        etag = self._store.put(self._bucket, key, data, "application/json")
        return S3Object(self._bucket, key, etag=etag)

    def _parameters(self, job: Job) -> Mapping[str, object]:
        found = _PRESET_KEY.fullmatch(job.source.key)
        if found:
            return {"preset": found[1], **job.parameters}
        if not _JOB_KEY.fullmatch(job.source.key):
            known = ", ".join(sorted(self._presets)) or "none"
            detail = f"the key names no preset: uploads/transform/<preset>/...; there are: {known}"
            raise InvalidParameter(detail, parameter="preset")
        return job.parameters


def stable_seed(*names: object) -> int:
    """A seed, 0..2^31-1, that is the same for the same names."""
    text = "\n".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:4]) >> 1


def _check_key(key: str) -> None:
    num_bytes = len(key.encode())
    if num_bytes > _MAX_KEY_BYTES:
        raise BadRequest(
            f"the key of a result would have {num_bytes:,} bytes, S3 allows at most {_MAX_KEY_BYTES:,}; "
            "shorten the key of the upload"
        )
