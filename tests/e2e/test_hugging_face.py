"""The Hugging Face client, as published, against the running service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from PIL import Image
from tests.e2e.conftest import LocalService

pytestmark = pytest.mark.pretrained

NO_IMAGE = b"This is a letter and no photo."
PDF = b"%PDF-1.7\n%nothing to see"


@pytest.fixture(scope="module")
def url(pretrained_service: LocalService) -> Callable[[str], str]:
    """Gives the address of a task."""
    return lambda task: f"{pretrained_service.url}/hf/{task}"


@pytest.fixture(scope="module")
def client() -> InferenceClient:
    return InferenceClient()


@pytest.fixture(scope="module")
def brambling(test_images: Path) -> Path:
    return test_images / "imagenet" / "n01530575_brambling.JPEG"


@pytest.fixture(scope="module")
def two_dogs(test_images: Path) -> Path:
    return test_images / "detection" / "pets.jpg"


@pytest.fixture(scope="module")
def bird(test_images: Path) -> Path:
    return test_images / "segmentation" / "bird_segmentation.bmp"


def test_image_classification_takes_a_path(
    client: InferenceClient, url: Callable[[str], str], brambling: Path
) -> None:
    found = client.image_classification(str(brambling), model=url("image-classification"))
    scores = [each.score for each in found]
    assert found[0].label.startswith("brambling")
    assert 2 * scores[1] < scores[0] <= 1
    assert scores == sorted(scores, reverse=True)


def test_image_classification_takes_bytes(
    client: InferenceClient, url: Callable[[str], str], brambling: Path
) -> None:
    model = url("image-classification")
    by_bytes = client.image_classification(brambling.read_bytes(), model=model)
    assert by_bytes == client.image_classification(brambling, model=model)


@pytest.mark.parametrize("top_k", [1, 3, 12])
def test_image_classification_gives_top_k_classes(
    client: InferenceClient, url: Callable[[str], str], brambling: Path, top_k: int
) -> None:
    found = client.image_classification(brambling, model=url("image-classification"), top_k=top_k)
    assert len(found) == top_k
    assert found[0].label.startswith("brambling")


def test_image_classification_takes_the_softmax_it_applies_anyway(
    client: InferenceClient, url: Callable[[str], str], brambling: Path
) -> None:
    model = url("image-classification")
    found = client.image_classification(brambling, model=model, function_to_apply="softmax", top_k=5)
    assert found == client.image_classification(brambling, model=model)


@pytest.mark.parametrize("as_bytes", [False, True], ids=["path", "bytes"])
def test_object_detection_gives_boxes_in_whole_pixels(
    client: InferenceClient, url: Callable[[str], str], two_dogs: Path, as_bytes: bool
) -> None:
    image = two_dogs.read_bytes() if as_bytes else two_dogs
    found = client.object_detection(image, model=url("object-detection"))
    assert [each.label for each in found] == ["dog", "dog"]
    for box in (each.box for each in found):
        assert all(isinstance(edge, int) for edge in (box.xmin, box.ymin, box.xmax, box.ymax))
        assert 0 <= box.xmin < box.xmax <= 512
        assert 0 <= box.ymin < box.ymax <= 430


def test_object_detection_leaves_out_what_is_below_the_threshold(
    client: InferenceClient, url: Callable[[str], str], test_images: Path
) -> None:
    model, beach = url("object-detection"), test_images / "detection" / "kite_and_cold.jpg"
    every = client.object_detection(beach, model=model, threshold=0.05)
    likely = client.object_detection(beach, model=model, threshold=0.7)
    assert 0 < len(likely) < len(every)
    assert likely == [each for each in every if each.score >= 0.7]


@pytest.mark.parametrize("as_bytes", [False, True], ids=["path", "bytes"])
def test_image_segmentation_gives_a_mask_of_the_photo_s_size(
    client: InferenceClient, url: Callable[[str], str], bird: Path, as_bytes: bool
) -> None:
    image = bird.read_bytes() if as_bytes else str(bird)
    (segment,) = client.image_segmentation(image, model=url("image-segmentation"))
    assert segment.label == "bird"
    assert _iou(segment.mask, bird.with_name("bird_segmentation_mask.bmp")) >= 0.90


def test_image_segmentation_takes_the_subtask_it_does(
    client: InferenceClient, url: Callable[[str], str], bird: Path
) -> None:
    (segment,) = client.image_segmentation(bird, model=url("image-segmentation"), subtask="semantic")
    assert segment.label == "bird"


@pytest.mark.parametrize("top_k", [None, 2], ids=["raw body", "JSON body"])
def test_what_is_no_image_is_the_client_s_bad_request_with_our_reason(
    client: InferenceClient, url: Callable[[str], str], top_k: int | None
) -> None:
    with pytest.raises(BadRequestError, match="30 bytes are not an image") as caught:
        client.image_classification(NO_IMAGE, model=url("image-classification"), top_k=top_k)
    assert caught.value.response.status_code == 400


def test_a_format_that_is_not_taken_is_the_client_s_http_error_with_our_reason(
    client: InferenceClient, url: Callable[[str], str]
) -> None:
    with pytest.raises(HfHubHTTPError, match="PDF is not supported") as caught:
        client.object_detection(PDF, model=url("object-detection"))
    assert caught.value.response.status_code == 415


def test_a_parameter_out_of_range_is_named(
    client: InferenceClient, url: Callable[[str], str], brambling: Path, two_dogs: Path
) -> None:
    with pytest.raises(BadRequestError, match="top_k: must be a whole number from 1"):
        client.image_classification(brambling, model=url("image-classification"), top_k=0)
    with pytest.raises(BadRequestError, match="threshold: must be a number from 0 to 1"):
        client.object_detection(two_dogs, model=url("object-detection"), threshold=2)


def test_what_the_service_does_not_do_is_refused_and_not_ignored(
    client: InferenceClient, url: Callable[[str], str], brambling: Path, bird: Path
) -> None:
    with pytest.raises(BadRequestError, match="function_to_apply: only 'softmax'"):
        client.image_classification(brambling, model=url("image-classification"), function_to_apply="sigmoid")
    with pytest.raises(BadRequestError, match="subtask: only 'semantic'"):
        client.image_segmentation(bird, model=url("image-segmentation"), subtask="panoptic")
    with pytest.raises(BadRequestError, match="unknown parameter 'mask_threshold'"):
        client.image_segmentation(bird, model=url("image-segmentation"), mask_threshold=0.5)


def _iou(mask: object, truth: Path) -> float:
    # The client's types say text; it has opened the image.
    assert isinstance(mask, Image.Image)
    found = np.asarray(mask) > 0
    with Image.open(truth) as image:
        expected = np.asarray(image) > 0
    assert found.shape == expected.shape
    return int((found & expected).sum()) / int((found | expected).sum())
