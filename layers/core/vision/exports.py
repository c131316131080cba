"""An answer in the forms that data sets are made of: COCO, YOLO, Pascal VOC's XML and its masks of indices.

Boxes are in pixels of the upright photo, as in the native JSON. Each format counts them its own way:
`docs/exports.md` says how, and what is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vision import replies
from vision.errors import InvalidParameter
from vision.image import encode_indices
from vision.masks import encode_rle, mask_box
from vision.replies import Json
from vision.request import Reply
from vision.results import Answer, Detections, Segmentation

VOID = 255  # the index of pixels of no class, in the masks of Pascal VOC and most sets after it
_IMAGE_ID = 1


def coco(answer: Answer, file_name: str) -> dict[str, Json]:
    """A data set of one photo, as https://cocodataset.org/#format-data has it; each object with its score.

    A category's id is the class id, and all classes of the model are listed, whatever was found.
    """
    background = answer.card.output.background
    result = answer.result
    found = _coco_objects(result) if isinstance(result, Detections) else _coco_segments(_segmentation(answer))
    return {
        "info": {"description": answer.card.id, "version": answer.card.version},
        "licenses": [],
        "images": [{"id": _IMAGE_ID, "file_name": file_name, "width": answer.width, "height": answer.height}],
        "annotations": [
            {"id": number, "image_id": _IMAGE_ID, **each, "iscrowd": 0}
            for number, each in enumerate(found, start=1)
        ],
        "categories": [
            {"id": class_id, "name": label}
            for class_id, label in enumerate(answer.labels)
            if class_id != background
        ],
    }


def yolo(answer: Answer) -> str:
    """A line an object: class id, centre x, centre y, width, height, as shares of the photo's sides 0..1."""
    boxes = _within(answer) / np.tile((answer.width, answer.height), 2)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    rows = np.concatenate((centres, sides), axis=1).tolist()
    class_ids = _detections(answer).class_ids.tolist()
    return "".join(
        f"{class_id} {' '.join(f'{share:.6f}' for share in row)}\n"
        for class_id, row in zip(class_ids, rows, strict=True)
    )


def voc(answer: Answer, file_name: str) -> str:
    """The annotation of one photo in Pascal VOC's XML: boxes are their first and last pixels, from 1.

    The devkit: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
    """
    from xml.etree import ElementTree as Xml  # noqa: PLC0415  # 6 ms

    root = Xml.Element("annotation")
    Xml.SubElement(root, "folder")
    Xml.SubElement(root, "filename").text = file_name
    Xml.SubElement(Xml.SubElement(root, "source"), "database").text = answer.card.id
    size = Xml.SubElement(root, "size")
    for name, number in (("width", answer.width), ("height", answer.height), ("depth", 3)):
        Xml.SubElement(size, name).text = str(number)
    Xml.SubElement(root, "segmented").text = "0"
    class_ids = _detections(answer).class_ids.tolist()
    for class_id, box in zip(class_ids, _pixels(answer).tolist(), strict=True):
        found = Xml.SubElement(root, "object")
        facts = {"name": answer.label(class_id), "pose": "Unspecified", "truncated": "0", "difficult": "0"}
        for name, text in facts.items():
            Xml.SubElement(found, name).text = text
        edges = Xml.SubElement(found, "bndbox")
        for name, edge in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
            Xml.SubElement(edges, name).text = str(edge)
    Xml.indent(root)
    # In ASCII, other characters as references: it is read right whatever it is saved as.
    document: bytes = Xml.tostring(root, encoding="us-ascii", xml_declaration=False)
    return f"{document.decode()}\n"


def index_png(answer: Answer) -> bytes:
    """A PNG of indices, each pixel its class id, in the colours of Pascal VOC.

    Pixels of a class that was not asked for are background; where the model has none, `VOID`.

    Raises:
        InvalidParameter: when the model has more classes than there are indices.
    """
    if len(answer.labels) > VOID:
        raise InvalidParameter(
            f"format: an index PNG holds {VOID} classes, {answer.card.id} has {len(answer.labels)}; "
            "ask for coco",
            parameter="format",
        )
    result, background = _segmentation(answer), answer.card.output.background
    indices = np.full(256, background if background >= 0 else VOID, np.uint8)
    indices[list(result.class_ids)] = result.class_ids
    return encode_indices(indices[result.class_map], voc_palette())


def voc_palette() -> NDArray[np.uint8]:
    """The colour of each index in the masks of Pascal VOC, (256, 3) uint8.

    The bits of an index, three by three from the lowest, are those of red, green and blue from the highest:
    `VOClabelcolormap.m` of the devkit.
    """
    bits = np.arange(256)[:, None] >> np.arange(9) & 1  # the ninth is 0: three bits a channel
    weights = 128 >> np.arange(3)
    colors: NDArray[np.uint8] = (bits.reshape(256, 3, 3) * weights[:, None]).sum(axis=1).astype(np.uint8)
    return colors


def _coco_objects(result: Detections) -> list[dict[str, Json]]:
    found = []
    for box, score, class_id in zip(
        result.boxes.tolist(), result.scores.tolist(), result.class_ids.tolist(), strict=True
    ):
        # Corners are rounded as in the native JSON, so that both speak of the same box.
        xmin, ymin, xmax, ymax = (round(edge, 2) for edge in box)
        width, height = round(xmax - xmin, 2), round(ymax - ymin, 2)
        found.append(
            {
                "category_id": class_id,
                "bbox": [xmin, ymin, width, height],
                "area": round(width * height, 2),
                "segmentation": [],
                "score": round(score, 6),
            }
        )
    return found


def _coco_segments(result: Segmentation) -> list[dict[str, Json]]:
    found = []
    for class_id in result.class_ids:
        mask = result.class_map == class_id
        xmin, ymin, xmax, ymax = mask_box(mask)
        found.append(
            {
                "category_id": class_id,
                "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                "area": int(mask.sum()),
                "segmentation": {"size": list(mask.shape), "counts": encode_rle(mask)},
            }
        )
    return found


def _within(answer: Answer) -> NDArray[np.float64]:
    """The boxes, (n, 4), no part of them outside of the photo."""
    sides = np.tile((answer.width, answer.height), 2)
    boxes: NDArray[np.float64] = np.clip(_detections(answer).boxes.astype(np.float64), 0, sides)
    return boxes


def _pixels(answer: Answer) -> NDArray[np.int64]:
    """The first and the last column and row of each box, from 1; at least one pixel.

    An edge between pixels goes to the nearest line between two, halves up.
    """
    lines = np.floor(_within(answer) + 0.5).astype(np.int64)
    first = np.minimum(lines[:, :2] + 1, (answer.width, answer.height))
    return np.concatenate((first, np.maximum(first, lines[:, 2:])), axis=1)


def _detections(answer: Answer) -> Detections:
    assert isinstance(answer.result, Detections)
    return answer.result


def _segmentation(answer: Answer) -> Segmentation:
    assert isinstance(answer.result, Segmentation)
    return answer.result


FORMATS: Mapping[str, Callable[[Answer, str], Reply]] = {
    "coco": lambda answer, file_name: replies.json_reply(coco(answer, file_name)),
    "yolo": lambda answer, _: Reply(200, yolo(answer), "text/plain"),
    "voc": lambda answer, file_name: Reply(200, voc(answer, file_name), "application/xml"),
    "index-png": lambda answer, _: Reply(200, index_png(answer), "image/png"),
}
