"""DeepLabV3 at 513 pixels by hand: the photo stretched to the input, its class map scaled back by nearest.

python -m tests.reference.deeplab models/deeplabv3_mnv2_pascal_quant/model.onnx IMAGES/coco
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests.reference import coco_dataset
from tests.reference.sessions import on_all_cores, open_session

SIZE = 513


class DeepLab:
    """Gives the VOC class of each pixel of a photo."""

    def __init__(self, model: Path) -> None:
        self._session = open_session(model)
        self._input = self._session.get_inputs()[0].name

    def class_map(self, path: Path) -> NDArray[np.uint8]:
        """Class ids 0..20, (height, width) of the photo; 0 is background."""
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        stretched = np.asarray(rgb.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        (classes,) = self._session.run(None, {self._input: stretched[None]})
        # The graph ends in its own argmax.
        small = Image.fromarray(classes.reshape(SIZE, SIZE).astype(np.uint8))
        return np.asarray(small.resize(rgb.size, Image.Resampling.NEAREST))


def main() -> None:
    """Prints the mean IoU over VOC classes."""
    model, folder = (Path(argument) for argument in sys.argv[1:])
    net = DeepLab(model)
    photos = coco_dataset.photos(folder)
    truths = [coco_dataset.true_class_map(folder, path) for path in photos]
    pairs = zip(truths, on_all_cores(net.class_map, photos), strict=True)
    print(f"mIoU {coco_dataset.mean_iou(pairs):.4f}")


if __name__ == "__main__":
    main()
