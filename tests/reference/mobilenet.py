"""MobileNetV2 by hand: Pillow, ONNX Runtime, argmax.

    python -m tests.reference.mobilenet models/mobilenet_v2_1.0_224_quant/model.onnx LABELS IMAGES

LABELS are the 1000 names by class id, IMAGES the folder that holds `imagenet/` and `imagenet_val/`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests.reference import imagenet_dataset
from tests.reference.sessions import open_session

SIZE = 224
SHORTER_SIDE = 256
BACKGROUND = 1  # output 0 of the graph, which is none of the 1000 classes


class MobileNet:
    """Gives the best class of a photo."""

    def __init__(self, model: Path) -> None:
        self._session = open_session(model)
        self._input = self._session.get_inputs()[0].name
        # The feature map that explanations need may be a second output.
        self._output = self._session.get_outputs()[0].name

    def top_class(self, path: Path) -> int:
        """The best class, 0..999."""
        with Image.open(path) as image:
            pixels = prepare(image.convert("RGB"))
        (scores,) = self._session.run([self._output], {self._input: pixels[None]})
        return int(scores[0].argmax()) - BACKGROUND


def prepare(image: Image.Image) -> NDArray[np.uint8]:
    """The shorter side to 256 by bilinear interpolation, then the centre: (224, 224, 3)."""
    scale = SHORTER_SIDE / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled.crop((left, top, left + SIZE, top + SIZE)))


def main() -> None:
    """Prints top-1 over both sets."""
    model, labels, images = (Path(argument) for argument in sys.argv[1:])
    net, names = MobileNet(model), imagenet_dataset.read_labels(labels)
    named = imagenet_dataset.named_photos(images / "imagenet")
    numbered = imagenet_dataset.numbered_photos(images / "imagenet_val")
    by_name = imagenet_dataset.top_1_by_name(named, lambda path: names[net.top_class(path)])
    by_class_id = imagenet_dataset.top_1_by_class_id(numbered, net.top_class)
    print(f"imagenet      top-1 {by_name:.3f}\nimagenet_val  top-1 {by_class_id:.3f}")


if __name__ == "__main__":
    main()
