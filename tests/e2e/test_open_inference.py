"""Triton's HTTP client, as published, against the running service; ONNX Runtime itself says what is right."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.e2e.conftest import MODELS, REPOSITORY, LocalService, Start
from tests.reference import mobilenet
from tests.reference.sessions import open_session
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, aio
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from samples import SamplesError, write_samples
from vision.card import ModelCard, read_card
from vision.image import decode, open_photo
from vision.tensor import plan, prepare

KEY = "k" * 24
CLASSIFIER = "mobilenet_v2_1.0_224_quant"
STARTERS = [f"starter-{task}" for task in ("classification", "detection", "segmentation")]
PRETRAINED = [CLASSIFIER, "yolox_nano", "deeplabv3_mnv2_pascal_quant"]


@pytest.fixture(scope="module")
def starter_service(start_service: Start) -> LocalService:
    return start_service(REPOSITORY / "models", VISION_MODEL="")


@pytest.fixture(scope="module")
def starters(starter_service: LocalService) -> Iterator[InferenceServerClient]:
    with _client(starter_service) as client:
        yield client


@pytest.fixture(scope="module")
def pretrained(pretrained_service: LocalService) -> Iterator[InferenceServerClient]:
    with _client(pretrained_service) as client:
        yield client


@pytest.fixture(scope="module")
def brambling(test_images: Path) -> Path:
    return test_images / "imagenet" / "n01530575_brambling.JPEG"


def _client(service: LocalService) -> InferenceServerClient:
    return InferenceServerClient(service.url.removeprefix("http://"))


def _inputs(array: NDArray[Any], metadata: dict[str, Any], *, binary: bool) -> list[InferInput]:
    (declared,) = metadata["inputs"]
    tensor = InferInput(declared["name"], list(array.shape), declared["datatype"])
    tensor.set_data_from_numpy(array, binary_data=binary)
    return [tensor]


def _random(metadata: dict[str, Any], count: int = 1) -> NDArray[Any]:
    """Pictures of noise as the model's metadata asks for them."""
    (declared,) = metadata["inputs"]
    shape = [count if size == -1 else size for size in declared["shape"]]
    noise = np.random.default_rng(7).integers(0, 256, shape)
    return noise.astype(triton_to_np_dtype(declared["datatype"]))


def _by_hand(model: str, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime gives, asked in this process."""
    session = open_session(MODELS / model / "model.onnx")
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: array}), strict=True))


def _same(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Numbers of integers exactly; of floats as far as two threads may differ from one."""
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return False
    if expected.dtype.kind == "f":
        return bool(np.allclose(found, expected, rtol=1e-4, atol=1e-5))
    return bool((found == expected).all())


# ---- without anything fetched


def test_the_server_is_live_ready_and_says_what_it_can(starters: InferenceServerClient) -> None:
    assert starters.is_server_live()
    assert starters.is_server_ready()
    assert starters.get_server_metadata()["extensions"] == ["binary_tensor_data"]


@pytest.mark.parametrize("model", STARTERS)
def test_a_model_is_ready_and_its_metadata_is_that_of_the_graph(
    starters: InferenceServerClient, model: str
) -> None:
    assert starters.is_model_ready(model)

    metadata = starters.get_model_metadata(model)

    session = onnxruntime.InferenceSession(str(REPOSITORY / "models" / model / "model.onnx"))
    assert (metadata["name"], metadata["platform"]) == (model, "onnxruntime_onnx")
    for told, nodes in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        expected = [(each.name, [-1 if isinstance(n, str) else n for n in each.shape]) for each in nodes]
        assert [(each["name"], each["shape"]) for each in metadata[told]] == expected


def test_a_model_that_is_not_there_is_not_ready_and_told_as_an_error(starters: InferenceServerClient) -> None:
    assert not starters.is_model_ready("resnet999")
    with pytest.raises(InferenceServerException, match="no model 'resnet999'; there are: ") as caught:
        starters.get_model_metadata("resnet999")
    assert caught.value.status() == "404"


@pytest.mark.parametrize("model", STARTERS)
@pytest.mark.parametrize("binary_in", [True, False], ids=["bytes in", "json in"])
@pytest.mark.parametrize("binary_out", [True, False, None], ids=["bytes out", "json out", "all out"])
def test_the_outputs_are_those_of_onnx_runtime(
    starters: InferenceServerClient, model: str, binary_in: bool, binary_out: bool | None
) -> None:
    metadata = starters.get_model_metadata(model)
    array, names = _random(metadata), [each["name"] for each in metadata["outputs"]]
    outputs = None
    if binary_out is not None:
        outputs = [InferRequestedOutput(name, binary_data=binary_out) for name in names]

    answer = starters.infer(
        model, _inputs(array, metadata, binary=binary_in), outputs=outputs, request_id="abc"
    )

    expected = _by_hand(model, array)
    assert answer.get_response()["id"] == "abc"
    assert all(_same(answer.as_numpy(name), expected[name]) for name in names)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_the_client_s_compression_works_both_ways(starters: InferenceServerClient, coding: str) -> None:
    metadata = starters.get_model_metadata(STARTERS[2])
    array = _random(metadata, count=2)

    packed = starters.infer(
        STARTERS[2],
        _inputs(array, metadata, binary=True),
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )

    plain = starters.infer(STARTERS[2], _inputs(array, metadata, binary=True))
    np.testing.assert_array_equal(packed.as_numpy("output"), plain.as_numpy("output"))


def test_the_asynchronous_client_works_too(starter_service: LocalService) -> None:
    """It asks for packed answers by itself."""
    array = np.random.default_rng(7).integers(0, 256, (1, 192, 192, 3), np.uint8)

    async def ask() -> list[NDArray[Any]]:
        async with aio.InferenceServerClient(starter_service.url.removeprefix("http://")) as client:
            inputs = _inputs(array, await client.get_model_metadata(STARTERS[2]), binary=True)
            outputs = [[InferRequestedOutput("output", binary_data=form)] for form in (True, False)]
            answers = [await client.infer(STARTERS[2], inputs, outputs=each) for each in outputs]
            return [answer.as_numpy("output") for answer in answers]

    for found in asyncio.run(ask()):
        assert _same(found, _by_hand(STARTERS[2], array)["output"])


def test_a_batch_is_answered_as_its_pictures_are(starters: InferenceServerClient) -> None:
    metadata = starters.get_model_metadata(STARTERS[0])
    array = _random(metadata, count=5)

    whole = starters.infer(STARTERS[0], _inputs(array, metadata, binary=True)).as_numpy("output")

    single = [
        starters.infer(STARTERS[0], _inputs(each[None], metadata, binary=True)).as_numpy("output")
        for each in array
    ]
    np.testing.assert_allclose(whole, np.concatenate(single), rtol=1e-4, atol=1e-4)


def test_what_is_wrong_is_the_client_s_exception_with_our_reason(starters: InferenceServerClient) -> None:
    metadata = starters.get_model_metadata(STARTERS[0])
    small = np.zeros((1, 80, 80, 3), np.uint8)
    tensor = _inputs(_random(metadata), metadata, binary=True)

    for inputs, options, message in (
        (_inputs(small, metadata, binary=True), {}, r"takes \[-1, 160, 160, 3\].* not \[1, 80, 80, 3\]"),
        (tensor, {"outputs": [InferRequestedOutput("boxes")]}, "'boxes' is no output of the model"),
        (
            tensor,
            {"outputs": [InferRequestedOutput("output", class_count=3)]},
            "POST /v1/classify gives labels",
        ),
        (tensor, {"sequence_id": 4}, "keeps a state"),
        (tensor, {"parameters": {"top_k": 3}}, "unknown member 'top_k'"),
    ):
        with pytest.raises(InferenceServerException, match=message) as caught:
            starters.infer(STARTERS[0], inputs, **options)
        assert caught.value.status() == "400"


def test_with_keys_all_but_health_asks_for_one(start_service: Start, models_folder: Path) -> None:
    keyed = start_service(
        models_folder, *("--parameter-overrides", "Auth=API_KEY"), VISION_API_KEY=KEY, LOG="json"
    )
    with _client(keyed) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert not client.is_model_ready("colors")
        with pytest.raises(InferenceServerException, match="this service asks for a key") as caught:
            client.get_server_metadata()
        assert caught.value.status() == "401"

        assert client.is_model_ready("colors", headers={"x-api-key": KEY})
        metadata = client.get_model_metadata("colors", headers={"x-api-key": KEY})
        tensor = _inputs(np.full((1, 8, 8, 3), 51, np.uint8), metadata, binary=True)
        answer = client.infer("colors", tensor, headers={"x-api-key": KEY})
        assert answer.as_numpy("scores").tolist() == [[51, 51, 51]]


def test_the_page_s_example_finds_what_v1_classify_finds(
    starter_service: LocalService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as it stands, but for the port."""
    try:
        write_samples(REPOSITORY / "samples")
    except SamplesError as error:
        pytest.skip(f"no sample photos: {error}")
    page = (REPOSITORY / "docs" / "open-inference.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(REPOSITORY)

    exec(code.replace("localhost:3000", starter_service.url.removeprefix("http://")), {})

    found = int(capsys.readouterr().out.splitlines()[-1])
    photo = (REPOSITORY / "samples" / "cat.png").read_bytes()
    path = "/v1/classify?top_k=1&model=starter-classification"
    (best,) = json.loads(starter_service.request("POST", path, photo).data)["predictions"]
    assert found == best["class_id"]


# ---- with the pretrained models


@pytest.mark.pretrained
@pytest.mark.parametrize("model", PRETRAINED)
@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "json"])
def test_the_outputs_of_pretrained_models_are_those_of_onnx_runtime(
    pretrained: InferenceServerClient, model: str, binary: bool
) -> None:
    metadata = pretrained.get_model_metadata(model)
    array, names = _random(metadata), [each["name"] for each in metadata["outputs"]]
    outputs = [InferRequestedOutput(name, binary_data=binary) for name in names]

    answer = pretrained.infer(model, _inputs(array, metadata, binary=binary), outputs=outputs)

    expected = _by_hand(model, array)
    assert all(_same(answer.as_numpy(name), expected[name]) for name in names)


@pytest.mark.pretrained
def test_the_best_class_of_a_photo_is_that_of_v1_classify(
    pretrained: InferenceServerClient, pretrained_service: LocalService, test_images: Path
) -> None:
    """The tensor as the service makes it by the card, and by hand, as the model's authors do."""
    photos = sorted((test_images / "imagenet").glob("*.JPEG"))[::20]
    card = read_card(MODELS / CLASSIFIER / "card.json")
    metadata = pretrained.get_model_metadata(CLASSIFIER)
    ask: Callable[[NDArray[Any]], int] = lambda array: (  # noqa: E731
        int(
            pretrained.infer(CLASSIFIER, _inputs(array, metadata, binary=True))
            .as_numpy("MobilenetV2/Predictions/Softmax")
            .argmax()
        )
        - card.output.label_offset
    )
    by_hand_agrees = []
    for path in photos:
        reply = pretrained_service.request(
            "POST", f"/v1/classify?model={CLASSIFIER}&top_k=1", path.read_bytes()
        )
        (best,) = json.loads(reply.data)["predictions"]
        assert ask(_by_card(path, card)) == best["class_id"], path.name
        with Image.open(path) as image:
            by_hand_agrees.append(ask(mobilenet.prepare(image.convert("RGB"))[None]) == best["class_id"])

    assert len(photos) >= 5
    assert np.mean(by_hand_agrees) >= 0.8  # another resampling may turn a close race


def _by_card(path: Path, card: ModelCard) -> NDArray[Any]:
    photo = open_photo(path.read_bytes(), max_pixels=50_000_000)
    geometry = plan(card, photo.height, photo.width)
    return prepare(decode(photo, scale=geometry.scale), card, geometry)
