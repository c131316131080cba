"""What is to be found on a photo: the rules by which two teachers' boxes become its truth.

The detector finds objects well and names them badly on these photos, most of which are unlike those that it
learned from. The category of a photo names its object, and the segmenter says whether it lies there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from train.caltech101 import BACKGROUND
from train.categories import OBJECTS
from vision.nms import iou

PERSON = "person"
# As many of COCO's classes as the photos show often and the teachers find well, in COCO's order.
LABELS = (
    PERSON,
    "car",
    "motorbike",
    "aeroplane",
    "boat",
    "stop sign",
    "bird",
    "cat",
    "dog",
    "elephant",
    "umbrella",
    "cup",
    "pizza",
    "chair",
    "laptop",
    "clock",
    "scissors",
)
# Objects of these classes are on many photos of these, drawn or carved or unlabelled.
_UNCLEAR = frozenset(("buddha", "dollar_bill", "garfield", "grand_piano", "snoopy", "wheelchair"))

_SURE, _LIKELY = 0.5, 0.3  # scores of the detector
_SAME = 0.45  # IoU from which on two boxes are of one object
_INSIDE = 0.8  # share of a box in another from which on it is a part of it


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the teachers see on one photo.

    Attributes:
        boxes: (k, 4) float32 xmin, ymin, xmax, ymax in pixels.
        scores: (k,) float32, the detector's.
        names: (k,) of COCO.
        things: (h, w) float32, the segmenter's probability of any object but a person.
        persons: (h, w) float32, of a person.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    names: NDArray[np.str_]
    things: NDArray[np.float32]
    persons: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """The objects of one photo.

    Attributes:
        boxes: (k, 4) float32 xmin, ymin, xmax, ymax in pixels.
        class_ids: (k,) int64, of `LABELS`.
    """

    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]


NOTHING = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def judge(category: str, seen: Seen) -> Objects | None:
    """Gives the objects of a photo of that category, or `None` where the teachers do not tell."""
    name = OBJECTS.get(category)
    if name == PERSON:
        return _portrait(seen)
    if name in LABELS:
        return _scene(name, seen)
    if category == BACKGROUND:
        known = np.isin(seen.names, LABELS)
        return _unless_doubtful(seen, known & (seen.scores >= _SURE), known & (seen.scores >= _LIKELY))
    return None if category in _UNCLEAR else _other(seen)


def region(things: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Gives the box (4,) of the one large region of an object, or `None` where that is not clear."""
    labelled = label(things > 0.5, connectivity=1)
    areas = np.bincount(labelled.ravel())[1:]
    if not len(areas):
        return None
    largest = labelled == 1 + areas.argmax()
    share, sureness = largest.mean(), things[largest].mean()
    # Where the segmenter takes nearly all of a photo for an object, it is often the background.
    is_clear = 0.05 <= share <= 0.9 and areas.max() >= 0.8 * areas.sum() and sureness >= 0.7 + 0.2 * share
    if not is_clear:
        return None
    rows, columns = (np.flatnonzero(largest.any(axis=axis)) for axis in (1, 0))
    return np.array((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), np.float32)


def _portrait(seen: Seen) -> Objects | None:
    """Photos of faces: each has a person."""
    persons = seen.names == PERSON
    if not persons.any():
        return None
    persons &= seen.scores >= min(_SURE, seen.scores[persons].max())
    return _objects(seen, persons | _sure_others(seen, PERSON))


def _scene(name: str, seen: Seen) -> Objects | None:
    """Photos of an object of that name, whatever the detector calls it."""
    clear = region(seen.things)
    agrees = np.zeros(len(seen.boxes), bool) if clear is None else iou(clear, seen.boxes) >= 0.5
    is_right = seen.names == name
    likely = seen.scores >= _LIKELY
    accepted = is_right & (likely | agrees)
    if clear is None:
        accepted |= (seen.names != PERSON) & likely & (_area(seen.boxes) >= 0.15 * seen.things.size)
    else:
        accepted |= (seen.names != PERSON) & agrees
    found = seen.boxes
    order = np.lexsort((-seen.scores, ~is_right))
    chosen = _apart(found, order[accepted[order]])
    if len(chosen) == 1 and clear is not None and iou(clear, found[chosen])[0] < 0.4:
        chosen = chosen[:0]  # a part of the object, or another
    if not len(chosen):
        if clear is None:
            return None
        chosen = np.array([len(found)])
        found = np.append(found, clear[None], axis=0)
    extra = np.flatnonzero(_sure_others(seen, name))
    extra = extra[[not _is_same(found[one], found[chosen]).any() for one in extra]]
    persons = np.flatnonzero(_persons(seen))
    names = [name] * len(chosen) + [*seen.names[extra], *seen.names[persons]]
    rows = np.concatenate((chosen, extra, persons))
    return Objects(found[rows], np.array([LABELS.index(each) for each in names], np.int64))


def _other(seen: Seen) -> Objects | None:
    """Photos of what is of none of the classes: nothing but persons."""
    possible = np.isin(seen.names, LABELS) & (seen.scores >= 0.4)
    return _unless_doubtful(seen, _persons(seen), possible)


def _unless_doubtful(seen: Seen, sure: NDArray[np.bool_], possible: NDArray[np.bool_]) -> Objects | None:
    return None if (possible & ~sure).any() else _objects(seen, sure)


def _persons(seen: Seen) -> NDArray[np.bool_]:
    """Which boxes are of persons by both teachers."""
    inside = np.array([_mean_inside(seen.persons, box) for box in seen.boxes])
    both: NDArray[np.bool_] = (seen.names == PERSON) & (seen.scores >= _SURE) & (inside >= 0.3)
    return both


def _sure_others(seen: Seen, name: str) -> NDArray[np.bool_]:
    """Which boxes are surely of another class than that, and not of a person."""
    return np.isin(seen.names, LABELS) & ~np.isin(seen.names, (name, PERSON)) & (seen.scores >= 0.6)


def _objects(seen: Seen, chosen: NDArray[np.bool_]) -> Objects:
    class_ids = [LABELS.index(name) for name in seen.names[chosen]]
    return Objects(seen.boxes[chosen], np.array(class_ids, np.int64))


def _apart(boxes: NDArray[np.float32], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of boxes in order of preference, those that are not of an object that has one."""
    chosen: list[int] = []
    for one in order:
        if not _is_same(boxes[one], boxes[chosen]).any():
            chosen.append(int(one))
    return np.array(chosen, np.int64)


def _is_same(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(k,): whether a box is of the same object as each of the others, or of a part of it."""
    is_part = _shared(box, boxes) >= _INSIDE * np.minimum(_area(box), _area(boxes))
    same: NDArray[np.bool_] = is_part | (iou(box, boxes) >= _SAME)
    return same


def _shared(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    areas: NDArray[np.float32] = sides.clip(0).prod(axis=1)
    return areas


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    areas: NDArray[np.float32] = (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
    return areas


def _mean_inside(values: NDArray[np.float32], box: NDArray[np.float32]) -> float:
    left, top, right, bottom = np.rint(box).astype(int).clip(0)
    inside = values[top : max(bottom, top + 1), left : max(right, left + 1)]
    return float(inside.mean()) if inside.size else 0.0
