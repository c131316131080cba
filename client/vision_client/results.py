"""What the service answers, as frozen values; boxes and masks in pixels of the upright photo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from vision_client.errors import ProblemError
from vision_client.masks import RleMask

Polygons: TypeAlias = tuple[tuple[float, ...], ...]
Mask: TypeAlias = RleMask | Polygons | bytes | None


class Box(NamedTuple):
    """Corners in pixels, origin top left."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float


@dataclass(frozen=True, kw_only=True)
class Received:
    """What comes with every answer over HTTP; both are empty for the result of a job.

    Attributes:
        timings: milliseconds by stage, from `Server-Timing`.
        request_id: under which the service's log has it.
    """

    timings: Mapping[str, float] = field(default_factory=dict, compare=False)
    request_id: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True)
class Answer(Received):
    """What every answer of a model has.

    Attributes:
        model: id of the model that answered.
        model_version: the first 12 hex digits of its file's SHA-256.
        width, height: of the upright photo, in pixels.
        document: the JSON as it came.
    """

    model: str
    model_version: str
    width: int
    height: int
    document: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class: its label, its number, and a score of 0..1."""

    label: str
    class_id: int
    score: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One object: its class, a score of 0..1 and its box."""

    label: str
    class_id: int
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class Segment:
    """All pixels of one class.

    Attributes:
        label, class_id: the class.
        area: share of the photo, 0..1.
        box: around the pixels.
        mask: run lengths, polygons, a PNG file (255 on the object), or none, as `mask_format` asked.
    """

    label: str
    class_id: int
    area: float
    box: Box
    mask: Mask


@dataclass(frozen=True, kw_only=True)
class Classification(Answer):
    """The classes of a photo, the best first."""

    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, kw_only=True)
class Detections(Answer):
    """The objects in a photo, the best first."""

    predictions: tuple[Detection, ...]


@dataclass(frozen=True, kw_only=True)
class Segmentation(Answer):
    """The regions of a photo, one a class."""

    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What was explained: a class, a box of a class, or a region; and its score in the whole photo."""

    label: str
    class_id: int
    score: float
    box: Box | None


@dataclass(frozen=True, slots=True)
class HeatMap:
    """What counted for the target.

    Attributes:
        values: rows from top to bottom, 0 the lowest heat and 1 the highest.
        box: the part of the photo that the map covers.
        lowest, highest: what 0 and 1 stand for, as differences of the score.
    """

    values: tuple[tuple[float, ...], ...]
    box: Box
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class Explanation(Answer):
    """Which parts of a photo an answer depends on.

    Attributes:
        task: of the model.
        target: what was explained.
        method, budget, seed: as they were used.
        runs: pictures that the model was run on.
        is_complete: whether the budget, and not the time, was the end of it.
        heat: the map.
        deletion_auc, insertion_auc: how far to trust it; none where budget or time did not suffice.
    """

    task: str
    target: Target
    method: str
    budget: int
    seed: int
    runs: int
    is_complete: bool
    heat: HeatMap
    deletion_auc: float | None
    insertion_auc: float | None


@dataclass(frozen=True, kw_only=True)
class File(Received):
    """An answer that is a file: a picture, or an answer in a format of training data.

    Attributes:
        data: its bytes.
        content_type: what they are.
    """

    data: bytes = field(repr=False)
    content_type: str

    @property
    def text(self) -> str:
        """The file as text, where it is one (UTF-8)."""
        return self.data.decode()

    def json(self) -> Any:
        """The JSON document in it."""
        return json.loads(self.data)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the file."""
        Path(path).write_bytes(self.data)


@dataclass(frozen=True, kw_only=True)
class Picture(File):
    """A transformed photo.

    Attributes:
        ops: the chain that was done, with what was drawn; empty where it is too long for a header.
        seed: what random operations were drawn from.
    """

    ops: str
    seed: int


@dataclass(frozen=True, slots=True)
class Variant:
    """One of several transformed photos.

    Attributes:
        data: the picture.
        content_type: of the picture.
        width, height: in pixels.
        ops: the chain that was done, with what was drawn.
        boxes: those of the request, moved along; `None` where there were none.
        mask: PNG of class ids, moved along; `None` where there was none.
    """

    data: bytes = field(repr=False)
    content_type: str
    width: int
    height: int
    ops: str
    boxes: list[Any] | None
    mask: bytes | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Variants(Received):
    """Several transformed photos of one.

    Attributes:
        variants: in their order.
        seed: what they were drawn from.
        width, height: of the upright photo, in pixels.
    """

    variants: tuple[Variant, ...]
    seed: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the service.

    Attributes:
        id, task: its name and what it answers.
        version: the first 12 hex digits of its file's SHA-256.
        labels: of its classes, by `class_id`.
        licence, description: as its card has them.
        card: the whole card, as it came.
    """

    id: str
    task: str
    version: str
    labels: tuple[str, ...] = field(repr=False)
    licence: str
    description: str
    card: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as `GET /health` names it; the default answers requests of its task that name none."""

    id: str
    task: str
    version: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class Health:
    """What the service says of itself.

    Attributes:
        status: `ok`.
        version: of the service.
        models: those that it serves.
        broken_models: ids of those that it cannot.
    """

    status: str
    version: str
    models: tuple[ServedModel, ...]
    broken_models: tuple[str, ...]

    def default_model(self, task: str) -> str:
        """The model that answers a task where none is named; empty where there is none."""
        return next((model.id for model in self.models if model.is_default and model.task == task), "")


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A form that uploads one file: where to post it, and the fields that go before the file."""

    url: str
    fields: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that waits for its image.

    Attributes:
        id: to ask for it.
        task: what it is for.
        key: of the object that the form makes in the input bucket.
        upload: the form.
        expires_at: until when the form is good.
    """

    id: str
    task: str
    key: str
    upload: UploadForm
    expires_at: str


@dataclass(frozen=True, slots=True)
class Job:
    """What has become of a job.

    Attributes:
        id, task: as they were given.
        status: `queued`, `running`, `succeeded` or `failed`.
        model: id of the model, once one has begun.
        input: bucket and key of the image.
        result: the answer, once there is one, unless it is too large; of transforms as the JSON it is.
        result_location: bucket and key of the answer.
        problem: why it failed.
        document: the job as it came.
    """

    id: str
    task: str
    status: str
    model: str
    input: Mapping[str, str]
    result: Classification | Detections | Segmentation | Explanation | Mapping[str, Any] | None = field(
        repr=False
    )
    result_location: Mapping[str, str] | None
    problem: ProblemError | None
    created_at: str
    finished_at: str | None
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ("succeeded", "failed")

    def raise_if_failed(self) -> None:
        """Raises ProblemError where the job has failed."""
        if self.problem:
            raise self.problem


@dataclass(frozen=True, slots=True)
class Batch:
    """What has become of a batch over a prefix of the input bucket.

    Attributes:
        id, task: as they were given.
        status: `running`, `succeeded` or `failed`.
        images: counts of objects, such as `total`, `pending` and `done`.
        manifest: bucket and key of the list of results, once it has succeeded.
        problem: why it failed.
        document: the batch as it came.
    """

    id: str
    task: str
    status: str
    images: Mapping[str, int]
    manifest: Mapping[str, str] | None
    problem: ProblemError | None
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ("succeeded", "failed")

    def raise_if_failed(self) -> None:
        """Raises ProblemError where the batch has failed."""
        if self.problem:
            raise self.problem


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload and its job are.

    Attributes:
        status: `uploading`, then the job's: `queued`, `running`, `succeeded` or `failed`.
        sent, total: bytes of the upload.
        elapsed_s: since the upload, or the waiting, began.
    """

    status: str
    sent: int
    total: int
    elapsed_s: float
