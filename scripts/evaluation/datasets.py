"""A folder of labelled photos -> `Dataset`: each photo with what is true of it, in the model's class ids.

Which form the folder has is found out from what is in it; `models/README.md` lists the forms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation.detection_data import read_objects
from evaluation.labelled_photos import read_classes
from evaluation.masks import read_masks
from evaluation.photos import DatasetError
from evaluation.truth import Labelled, Truth
from vision.card import Task
from vision.models import Model

__all__ = ["Dataset", "DatasetError", "read_dataset"]

_READERS: Mapping[Task, Callable[[Path, Model], Labelled]] = {
    "classification": read_classes,
    "detection": read_objects,
    "segmentation": read_masks,
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """Photos of known contents.

    Attributes:
        name: of the folder or file they were read from.
        task: that the truth is for.
        paths: the photos, in the order of the data set.
        truths: of each photo, in the same order.
        notes: what a reader of figures on it should know, a sentence each.
    """

    name: str
    task: Task
    paths: tuple[Path, ...]
    truths: tuple[Truth, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: Sequence[int]) -> Dataset:
        """The photos of those indices, 0..len - 1, in that order."""
        return replace(
            self,
            paths=tuple(self.paths[index] for index in indices),
            truths=tuple(self.truths[index] for index in indices),
        )


def read_dataset(path: Path, model: Model) -> Dataset:
    """Gives the photos in a folder with their truth, for the task and the labels of a model.

    Args:
        path: the folder; for detection also the COCO file itself.
        model: whose class ids the truth is given in.

    Raises:
        DatasetError: one sentence that names the file, and the line where there is one.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist.")
    try:
        labelled = _READERS[model.card.task](path, model)
    except OSError as error:
        raise DatasetError(f"{error.filename or path} cannot be read: {error.strerror or error}.") from error
    paths, truths = zip(*labelled.photos, strict=True)
    name = path.resolve().name if path.is_dir() else path.stem
    return Dataset(name, model.card.task, paths, truths, labelled.notes)
