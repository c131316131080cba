"""Transforms of a batch: pictures under the batch's results, and a line of JSON for each photo."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vision import replies
from vision.aws import ObjectStore
from vision.errors import InvalidParameter
from vision.presets import Presets
from vision.request import S3Object
from vision.settings import Settings
from vision.telemetry import Stopwatch
from vision.transform_parameters import TransformParameters, read_transform_parameters
from vision.transform_uploads import NO_PRESET, Pictures, stable_seed


class TransformParts:
    """The `PartWork` of transforms.

    Args:
        settings: limits and buckets.
        presets: parameters by the name of the preset.
    """

    def __init__(self, settings: Settings, presets: Presets) -> None:
        self._settings = settings
        self._presets = presets

    def check(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The preset, if it is there, and what tells it from another of the same name."""
        parameters = self._read(batch)
        given = {**batch["parameters"], **self._presets.get(parameters.preset, {})}
        version = hashlib.sha256(replies.to_json(given).encode()).hexdigest()[:12]
        return {"model": parameters.preset or NO_PRESET, "model_version": version}

    def open(
        self, shared: Mapping[str, Any], store: ObjectStore
    ) -> Callable[[S3Object, Stopwatch], dict[str, Any]]:
        """Writes the pictures of each photo; the answer names them."""
        batch = shared["batch"]
        parameters = self._read(batch)
        pictures = Pictures(self._settings, store)

        def answer(source: S3Object, watch: Stopwatch) -> dict[str, Any]:
            # Photos of one batch differ in what is drawn, and get the same when they are done again.
            first = batch["id"] if parameters.seed is None else parameters.seed
            seeded = replace(parameters, seed=stable_seed(first, source.key))
            name = f"{batch['results']['prefix']}images/{source.key}"
            return pictures.write(source, seeded, watch, name=name)

        return answer

    def _read(self, batch: Mapping[str, Any]) -> TransformParameters:
        parameters = read_transform_parameters(batch["parameters"], self._presets)
        for name in ("boxes", "mask"):
            if getattr(parameters, name) is not None:
                detail = f"{name}: cannot be the same for every picture of a batch"
                raise InvalidParameter(detail, parameter=name)
        return parameters
