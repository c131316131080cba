"""Transforms over HTTP and by plain invocation: whole handlers, from the event to the picture."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mypy_boto3_s3 import S3Client
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tests.fakes import REQUEST_ID, FakeContext, http_event, multipart

from vision import service, transform
from vision.errors import InvalidSettings
from vision.raster import read_raster
from vision.settings import Settings
from vision.telemetry import Handler

ROOT = Path(__file__).resolve().parents[2]
PATH = "/v1/transform"
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=x"}
AUGMENT = "random-resized-crop:w=32,h=32|random-flip|random-brightness:min=0.5,max=1.5"
Build = Callable[..., Handler]

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics:UserWarning")


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """Builds the function's handler as `app.py` does, in an environment of the test's own."""

    def built(**variables: str) -> Handler:
        for name in [name for name in os.environ if name.startswith("VISION_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return service.build_transform()

    return built


@pytest.fixture
def handler(build: Build) -> Handler:
    return build()


@pytest.fixture(scope="module")
def png(encode: Callable[..., bytes], photo: NDArray[np.uint8]) -> bytes:
    return encode(photo, "PNG")


@pytest.fixture(scope="module")
def jpeg(encode: Callable[..., bytes], photo: NDArray[np.uint8]) -> bytes:
    return encode(photo, "JPEG", quality=95)


def _ask(handler: Handler, body: bytes | str, accept: str = "", **query: str) -> dict[str, Any]:
    headers = dict(JSON) if isinstance(body, str) else {}
    event = http_event(
        path=PATH, body=body, headers=headers | ({"accept": accept} if accept else {}), query=query
    )
    answer: dict[str, Any] = handler(event, FakeContext())
    return answer


def _bytes(answer: dict[str, Any]) -> bytes:
    assert answer["statusCode"] == 200, answer["body"]
    assert answer["isBase64Encoded"]
    return base64.b64decode(answer["body"])


def _picture(answer: dict[str, Any]) -> Image.Image:
    image = Image.open(io.BytesIO(_bytes(answer)))
    image.load()
    return image


def _json(answer: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer["body"])
    return document


def _files(answer: dict[str, Any]) -> dict[str, bytes]:
    assert answer["headers"]["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(_bytes(answer))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _document(image: bytes, **parameters: Any) -> str:
    return json.dumps({"image": base64.b64encode(image).decode(), "parameters": parameters})


class TestPicture:
    def test_a_picture_is_answered_as_it_came(self, handler: Handler, png: bytes, jpeg: bytes) -> None:
        for data, content_type, name in ((png, "image/png", "PNG"), (jpeg, "image/jpeg", "JPEG")):
            answer = _ask(handler, data, ops="resize:w=30,h=20")

            image = _picture(answer)
            assert (image.format, image.size) == (name, (30, 20))
            assert answer["headers"]["Content-Type"] == content_type

    def test_the_pixels_are_those_of_pillow(self, handler: Handler, png: bytes) -> None:
        answer = _ask(handler, png, ops="resize:w=30,h=20|rotate:90|flip:horizontal")

        image = Image.open(io.BytesIO(png)).resize((30, 20), Image.Resampling.LANCZOS)
        expected = ImageOps.mirror(image.transpose(Image.Transpose.ROTATE_90))
        assert np.array_equal(np.asarray(_picture(answer)), np.asarray(expected))

    def test_it_is_told_what_was_done(self, handler: Handler, png: bytes) -> None:
        answer = _ask(handler, png, ops="rotate:90|flip:horizontal")

        assert answer["headers"]["X-Transform-Ops"].startswith("rotate:")
        again = _ask(handler, png, ops=answer["headers"]["X-Transform-Ops"])
        assert again["body"] == answer["body"]

    def test_the_stages_are_timed(self, handler: Handler, png: bytes) -> None:
        timing = _ask(handler, png, ops="flip")["headers"]["Server-Timing"]

        assert [each.split(";")[0] for each in timing.split(", ")] == [
            "decode",
            "transform",
            "encode",
            "total",
        ]

    @pytest.mark.parametrize(
        ("accept", "name"),
        [
            ("", "PNG"),
            ("*/*", "PNG"),
            ("image/*", "PNG"),
            ("image/jpeg", "JPEG"),
            ("image/jpg", "JPEG"),
            ("image/webp", "WEBP"),
            ("image/avif", "AVIF"),
            ("image/png;q=0.5, image/webp", "WEBP"),
            ("image/jpeg;q=0.9, image/webp;q=0.8, */*;q=0.1", "JPEG"),
            ("image/webp;q=0, image/*", "PNG"),
            ("text/html", "PNG"),
            ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "AVIF"),
        ],
    )
    def test_accept_chooses_the_format(self, handler: Handler, png: bytes, accept: str, name: str) -> None:
        assert _picture(_ask(handler, png, accept, ops="flip")).format == name

    def test_the_parameter_goes_before_accept(self, handler: Handler, png: bytes) -> None:
        assert _picture(_ask(handler, png, "image/png", ops="flip", format="jpeg")).format == "JPEG"

    @pytest.mark.parametrize("name", ["GIF", "BMP", "TIFF"])
    def test_a_format_that_is_not_written_becomes_png(
        self, handler: Handler, encode: Callable[..., bytes], photo: NDArray[np.uint8], name: str
    ) -> None:
        assert _picture(_ask(handler, encode(photo, name), ops="flip")).format == "PNG"

    def test_without_operations_the_photo_is_written_upright_and_without_metadata(
        self, handler: Handler, encode: Callable[..., bytes], photo: NDArray[np.uint8]
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        exif[0x010F] = "a camera"

        answer = _ask(handler, encode(photo, "PNG", exif=exif))

        image = _picture(answer)
        assert image.size == (40, 60)
        assert not image.getexif()
        assert np.array_equal(np.asarray(image), np.rot90(photo, -1))

    def test_metadata_stays_where_it_is_asked_for(
        self, handler: Handler, encode: Callable[..., bytes], photo: NDArray[np.uint8]
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        exif[0x010F] = "a camera"
        data = encode(photo, "JPEG", exif=exif)

        kept = _picture(_ask(handler, data, ops="resize:w=20", keep="exif")).getexif()

        assert kept[0x010F] == "a camera"
        assert kept.get(0x0112, 1) == 1

    def test_quality_and_background_reach_the_encoder(self, handler: Handler, png: bytes) -> None:
        small, large = (
            _bytes(_ask(handler, png, format="jpeg", quality=quality)) for quality in ("20", "95")
        )
        corner = _picture(
            _ask(
                handler,
                png,
                ops="pad:10,background=transparent",
                format="jpeg",
                background="ff0000",
                quality="95",
            )
        ).getpixel((2, 2))

        assert len(small) < len(large)
        assert isinstance(corner, tuple)
        assert np.allclose(corner, (255, 0, 0), atol=10)

    def test_dpr_multiplies_lengths(self, handler: Handler, png: bytes) -> None:
        assert _picture(_ask(handler, png, ops="resize:w=30", dpr="2")).size == (60, 40)

    def test_raw_form_and_json_give_the_same_picture(self, handler: Handler, png: bytes) -> None:
        ops = "resize:w=30|rotate:10"
        form = multipart({"image": png, "ops": ops.encode()}, "x")
        listed = [{"op": "resize", "w": 30}, {"op": "rotate", "degrees": 10}]

        answers = [
            _ask(handler, png, ops=ops),
            handler(http_event(path=PATH, body=form, headers=FORM), FakeContext()),
            _ask(handler, _document(png, ops=ops)),
            _ask(handler, _document(png, ops=listed)),
            _ask(handler, png, ops=json.dumps(listed)),
        ]

        assert {answer["body"] for answer in answers} == {answers[0]["body"]}
        assert {answer["headers"]["X-Transform-Ops"] for answer in answers} == {
            answers[0]["headers"]["X-Transform-Ops"]
        }
        _picture(answers[0])

    def test_a_function_url_has_no_paths_but_its_own(self, handler: Handler, png: bytes) -> None:
        answer = handler(http_event(path="/", body=png, query={"ops": "flip"}), FakeContext())

        assert _picture(answer).size == (60, 40)

    def test_what_was_done_is_left_out_of_the_headers_where_it_is_too_long(
        self, handler: Handler, png: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vision.transform_response.MAX_HEADER", 3)

        headers = _ask(handler, png, ops="flip")["headers"]

        assert "X-Transform-Ops" not in headers
        assert "X-Transform-Seed" in headers

    def test_the_log_tells_a_bounded_piece_of_the_operations(
        self, handler: Handler, png: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")

        _ask(handler, png, ops="|".join(["brightness:1.001"] * 20))

        (line,) = [vars(record) for record in caplog.records if record.message == "answered"]
        assert len(line["ops"]) == 200
        assert line["pixels"] == 2400


class TestSeed:
    def test_the_same_seed_gives_the_same_bytes(self, handler: Handler, png: bytes) -> None:
        for query in ({}, {"n": "3"}):
            first, second = (
                _ask(handler, png, ops=AUGMENT, seed="7", format="png", **query) for _ in range(2)
            )

            assert first["body"] == second["body"]
            assert _ask(handler, png, ops=AUGMENT, seed="8", format="png", **query)["body"] != first["body"]

    def test_a_seed_that_was_drawn_is_told_and_gives_the_same_again(
        self, handler: Handler, png: bytes
    ) -> None:
        first = _ask(handler, png, ops=AUGMENT)
        seed = first["headers"]["X-Transform-Seed"]

        assert _ask(handler, png, ops=AUGMENT, seed=seed)["body"] == first["body"]
        assert _ask(handler, png, ops=AUGMENT)["headers"]["X-Transform-Seed"] != seed

    def test_what_was_drawn_does_the_same_without_chance(self, handler: Handler, png: bytes) -> None:
        first = _ask(handler, png, ops=AUGMENT, seed="7")
        ops = first["headers"]["X-Transform-Ops"]

        again = _ask(handler, png, ops=ops)

        assert "random" not in ops
        assert again["body"] == first["body"]
        assert again["headers"]["X-Transform-Seed"] == "0"


class TestVariants:
    def test_several_come_as_a_zip_archive_with_a_manifest(self, handler: Handler, jpeg: bytes) -> None:
        files = _files(_ask(handler, jpeg, ops=AUGMENT, seed="7", n="3"))

        assert list(files) == ["000.jpg", "001.jpg", "002.jpg", "manifest.json"]
        manifest = json.loads(files["manifest.json"])
        assert manifest["image"] == {"width": 60, "height": 40}
        assert manifest["seed"] == 7
        assert [each["image"] for each in manifest["variants"]] == [
            {"width": 32, "height": 32, "content_type": "image/jpeg", "file": f"00{index}.jpg"}
            for index in range(3)
        ]
        assert len({each["ops"] for each in manifest["variants"]}) == 3
        assert len({files[f"00{index}.jpg"] for index in range(3)}) == 3
        assert Image.open(io.BytesIO(files["000.jpg"])).size == (32, 32)

    def test_json_has_the_same(self, handler: Handler, png: bytes) -> None:
        files = _files(_ask(handler, png, ops=AUGMENT, seed="7", n="2"))
        answer = _ask(handler, png, "application/json", ops=AUGMENT, seed="7", n="2")

        document = _json(answer)
        assert document["image"] == {"width": 60, "height": 40}
        assert document["seed"] == 7
        for index, variant in enumerate(document["variants"]):
            image = variant["image"]
            assert base64.b64decode(image.pop("data")) == files[f"00{index}.png"]
            assert image == {"width": 32, "height": 32, "content_type": "image/png"}
        assert [each["ops"] for each in document["variants"]] == [
            each["ops"] for each in json.loads(files["manifest.json"])["variants"]
        ]

    def test_one_picture_may_come_in_json_or_a_zip_archive_too(self, handler: Handler, png: bytes) -> None:
        data = _bytes(_ask(handler, png, ops="flip"))

        document = _json(_ask(handler, png, "application/json", ops="flip"))
        files = _files(_ask(handler, png, "application/zip, image/png;q=0.5", ops="flip"))

        assert base64.b64decode(document["variants"][0]["image"]["data"]) == data
        assert files["000.png"] == data

    def test_accept_chooses_the_format_of_variants(self, handler: Handler, png: bytes) -> None:
        files = _files(_ask(handler, png, "image/webp", ops=AUGMENT, n="1"))

        assert Image.open(io.BytesIO(files["000.webp"])).format == "WEBP"

    def test_a_large_photo_is_decoded_small_where_every_variant_needs_little(
        self,
        handler: Handler,
        encode: Callable[..., bytes],
        photo: NDArray[np.uint8],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        large = encode(Image.fromarray(photo).resize((1200, 800)), "JPEG")
        decoded: list[tuple[int, int]] = []
        read = read_raster

        def spied(*arguments: Any, **options: Any) -> Any:
            raster = read(*arguments, **options)
            decoded.append(raster.pixels.size)
            return raster

        monkeypatch.setattr(transform, "read_raster", spied)
        _files(_ask(handler, large, ops="resize:w=60|random-flip", n="4"))
        _files(_ask(handler, large, ops="crop:x=0,y=0,w=600,h=600|random-flip", n="4"))

        assert decoded == [(150, 100), (1200, 800)]


class TestAnnotations:
    BOXES = ([0, 0, 30, 20], {"label": "dog", "box": {"xmin": 30, "ymin": 20, "xmax": 60, "ymax": 40}})

    def test_boxes_come_back_in_their_form_where_the_picture_took_them(
        self, handler: Handler, png: bytes
    ) -> None:
        document = _json(
            _ask(handler, png, "application/json", ops="flip|resize:w=30", boxes=json.dumps(self.BOXES))
        )

        (variant,) = document["variants"]
        assert variant["boxes"] == [
            [15.0, 0.0, 30.0, 10.0],
            {"label": "dog", "box": {"xmin": 0.0, "ymin": 10.0, "xmax": 15.0, "ymax": 20.0}},
        ]

    def test_a_box_of_which_nothing_is_left_is_gone(self, handler: Handler, png: bytes) -> None:
        answer = _ask(handler, _document(png, ops="crop:x=0,y=0,w=20,h=15", boxes=list(self.BOXES)))

        manifest = json.loads(_files(answer)["manifest.json"])
        assert manifest["variants"][0]["boxes"] == [[0.0, 0.0, 20.0, 15.0]]

    def test_a_mask_is_turned_with_the_picture(
        self, handler: Handler, png: bytes, encode: Callable[..., bytes]
    ) -> None:
        classes = np.zeros((40, 60), np.uint8)
        classes[:20, :30] = 3
        mask = encode(classes, "PNG")
        form = multipart({"image": png, "mask": mask, "ops": b"rotate:90|pad:5", "mask_fill": b"255"}, "x")

        files = _files(handler(http_event(path=PATH, body=form, headers=FORM), FakeContext()))

        found = np.asarray(Image.open(io.BytesIO(files["000-mask.png"])))
        assert np.array_equal(found, np.pad(np.rot90(classes), 5, constant_values=255))
        assert json.loads(files["manifest.json"])["variants"][0]["mask"] == "000-mask.png"
        document = _json(
            _ask(
                handler,
                _document(png, ops="rotate:90|pad:5", mask=base64.b64encode(mask).decode(), mask_fill=255),
                "application/json",
            )
        )
        assert base64.b64decode(document["variants"][0]["mask"]) == files["000-mask.png"]

    def test_a_mask_of_another_size_is_refused(
        self, handler: Handler, png: bytes, encode: Callable[..., bytes]
    ) -> None:
        mask = base64.b64encode(encode(np.zeros((10, 10), np.uint8), "PNG")).decode()

        answer = _ask(handler, _document(png, ops="flip", mask=mask))

        assert answer["statusCode"] == 400
        assert _json(answer)["parameter"] == "mask"


class TestLimits:
    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ({"ops": "teleport"}, "ops"),
            ({"ops": "resize:w=30|crop:w=500,h=500"}, "ops"),
            ({"ops": "resize:w=32768,h=32768"}, "ops"),
            ({"ops": "|".join(["resize:w=7000,h=7000", "rotate:5,no"] * 10)}, "ops"),
            ({"ops": "|".join(["resize:w=200%"] * 30)}, "ops"),
            ({"ops": "flip", "n": "65"}, "n"),
            ({"ops": "resize:w=5000,h=5000", "n": "64"}, "n"),
            ({"ops": "flip", "quality": "0"}, "quality"),
            ({"ops": "flip", "size": "5"}, "size"),
            ({"ops": "resize:w=20000,h=100", "format": "webp"}, "format"),
            ({"preset": "nope"}, "preset"),
            ({"ops": "flip", "boxes": "[[1]]"}, "boxes"),
            ({"ops": "flip", "mask": "aGVsbG8="}, "mask"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_what_cannot_be_done_is_a_400_before_anything_is_decoded(
        self,
        handler: Handler,
        jpeg: bytes,
        query: dict[str, str],
        parameter: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(transform, "read_raster", lambda *_, **__: pytest.fail("the photo was decoded"))

        answer = _ask(handler, jpeg, **query)

        assert answer["statusCode"] == 400, answer["body"]
        assert _json(answer)["parameter"] == parameter

    def test_a_format_that_cannot_hold_it_gives_way_to_the_next_that_is_accepted(
        self, handler: Handler, png: bytes
    ) -> None:
        image = _picture(_ask(handler, png, "image/webp, image/jpeg;q=0.5", ops="resize:w=20000,h=10"))

        assert (image.format, image.size) == ("JPEG", (20_000, 10))

    def test_a_photo_that_is_too_large_or_none_is_refused_as_on_every_route(
        self, build: Build, png: bytes
    ) -> None:
        handler = build(VISION_MAX_PIXELS="1000")

        assert _ask(handler, png, ops="flip")["statusCode"] == 413
        assert "POST /v1/jobs" in _json(_ask(handler, png, ops="flip"))["detail"]
        assert _ask(handler, b"hello", ops="flip")["statusCode"] == 400
        assert _ask(handler, b"%PDF-1.7", ops="flip")["statusCode"] == 415

    def test_a_result_over_the_limit_is_refused_without_a_bucket(self, build: Build, png: bytes) -> None:
        answer = _ask(build(VISION_MAX_BYTES=str(len(png) + 1000)), png, ops="resize:w=600|sharpness:5")

        assert answer["statusCode"] == 413

    def test_a_wrong_preset_stops_the_function_from_starting(self, build: Build) -> None:
        with pytest.raises(InvalidSettings, match="small"):
            build(VISION_PRESETS='{"small": "resize:w=0"}')


class TestBuckets:
    @pytest.fixture
    def stored(self, deployment: Settings, build: Build) -> Build:
        def built(**variables: str) -> Handler:
            return build(
                VISION_INPUT_BUCKET=deployment.input_bucket,
                VISION_RESULTS_BUCKET=deployment.results_bucket,
                VISION_JOBS_TABLE=deployment.jobs_table,
                **variables,
            )

        return built

    def test_a_photo_may_lie_in_a_bucket(self, stored: Build, s3: S3Client, png: bytes) -> None:
        s3.put_object(Bucket="inbox", Key="a.png", Body=png)
        body = json.dumps({"s3": {"bucket": "inbox", "key": "a.png"}, "parameters": {"ops": "resize:w=30"}})

        assert _picture(_ask(stored(), body)).size == (30, 20)
        assert _ask(stored(), body.replace("inbox", "foreign"))["statusCode"] == 403

    def test_a_result_over_the_limit_is_given_by_its_place(
        self, stored: Build, s3: S3Client, png: bytes
    ) -> None:
        handler = stored(VISION_MAX_BYTES=str(len(png) + 1000))

        answer = _ask(handler, png, ops="resize:w=600|sharpness:5")

        document = _json(answer)
        place = document["result_location"]
        assert place == {"bucket": "outbox", "key": f"results/transform/answers/{REQUEST_ID}"}
        found = s3.get_object(Bucket="outbox", Key=place["key"])
        assert found["ContentType"] == "image/png"
        assert Image.open(io.BytesIO(found["Body"].read())).size == (600, 400)
        assert document["image"] == {"width": 60, "height": 40}
        assert document["ops"].startswith("resize:")
        assert document["result_url"].startswith("https://")

    def test_a_plain_invocation_is_answered_in_json(self, stored: Build, s3: S3Client, png: bytes) -> None:
        s3.put_object(Bucket="inbox", Key="a.png", Body=png)
        document = {"s3": {"bucket": "inbox", "key": "a.png"}, "parameters": {"preset": "square"}}

        answer = stored()(document, FakeContext())

        (variant,) = answer["variants"]
        data = base64.b64decode(variant["image"]["data"])
        assert Image.open(io.BytesIO(data)).size == (512, 512)
        problem = stored()({**document, "parameters": {"preset": "nope"}}, FakeContext())
        assert (problem["status"], problem["parameter"]) == (400, "preset")


def test_an_image_in_the_request_needs_neither_onnxruntime_nor_numpy_nor_boto3(png: bytes) -> None:
    script = """
import json, sys
from types import SimpleNamespace
from app import handler
context = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="a", aws_request_id="1",
    get_remaining_time_in_millis=lambda: 30000,
)
event = json.loads(sys.stdin.read())
answer = handler(event, context)
assert answer["statusCode"] == 200, answer
heavy = ("onnxruntime", "numpy", "boto3", "botocore.session", "zipfile", "PIL.ImageCms")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    event = http_event(path=PATH, body=png, query={"ops": "resize:w=30|sharpness:2"})
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("VISION_")},
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "functions/transform", ROOT / "layers/core", ROOT))),
    }

    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(event),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout.splitlines()[-1]) == []
