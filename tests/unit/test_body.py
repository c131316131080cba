"""Bodies -> requests: raw, form, JSON with base64 or a reference to S3; and what is refused."""

from __future__ import annotations

import base64
import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from tests.fakes import http_call, multipart

from vision.body import read_bytes, read_document, read_hf_request, read_json, read_request
from vision.errors import BadRequest, InvalidParameter, TooLarge
from vision.request import InlineImage, Request, S3Object

IMAGE = bytes(range(256)) * 3
LIMIT = 10_000
JSON = {"content-type": "application/json; charset=utf-8"}


def _json(document: Any, query: dict[str, str] | None = None, *, limit: int = LIMIT) -> Request:
    return read_request(http_call(json.dumps(document), headers=JSON, query=query), limit)


def _form(body: bytes, content_type: str = "multipart/form-data; boundary=-----boundary7") -> Request:
    return read_request(http_call(body, headers={"content-type": content_type}), LIMIT)


def _base64(data: bytes = IMAGE) -> str:
    return base64.b64encode(data).decode()


class TestRaw:
    @pytest.mark.parametrize(
        "content_type", ["image/jpeg", "image/x-unheard-of", "application/octet-stream", "text/plain", ""]
    )
    def test_the_body_is_the_image_whatever_type_is_declared(self, content_type: str) -> None:
        call = http_call(IMAGE, headers={"content-type": content_type}, query={"top_k": "3"})

        request = read_request(call, LIMIT)

        assert request == Request(InlineImage(IMAGE), {"top_k": "3"})

    def test_a_body_that_came_as_text_is_its_utf_8(self) -> None:
        assert read_request(http_call("héllo"), LIMIT).source == InlineImage("héllo".encode())

    @pytest.mark.parametrize("body", [b"", ""], ids=["bytes", "text"])
    def test_an_empty_body_is_refused(self, body: bytes | str) -> None:
        with pytest.raises(BadRequest, match="empty"):
            read_request(http_call(body), LIMIT)

    @pytest.mark.parametrize("size", [LIMIT - 1, LIMIT], ids=["below", "at"])
    def test_a_body_up_to_the_limit_is_taken(self, size: int) -> None:
        assert read_request(http_call(bytes(size)), LIMIT).source == InlineImage(bytes(size))

    @pytest.mark.parametrize("size", [LIMIT + 1, LIMIT * 2, LIMIT * 100])
    def test_a_body_over_the_limit_is_refused_and_the_way_out_named(self, size: int) -> None:
        with pytest.raises(TooLarge, match="POST /v1/jobs"):
            read_request(http_call(bytes(size)), LIMIT)

    def test_a_body_far_over_the_limit_is_refused_before_it_is_decoded(self) -> None:
        call = http_call(bytes(11_000_000))

        tracemalloc.start()
        with pytest.raises(TooLarge):
            read_request(call, 4_500_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 100_000

    def test_a_gateways_broken_base64_is_refused(self) -> None:
        call = replace(http_call(IMAGE), body="not base64!")

        with pytest.raises(BadRequest, match="base64"):
            read_bytes(call, LIMIT)

    def test_text_with_lone_surrogates_is_refused(self) -> None:
        with pytest.raises(BadRequest, match="not valid text"):
            read_request(http_call("\ud800"), LIMIT)


class TestForm:
    @pytest.mark.parametrize(
        ("boundary", "content_type"),
        [
            ("-----boundary7", "multipart/form-data; boundary=-----boundary7"),
            ("-----boundary7", 'multipart/form-data; boundary="-----boundary7"'),
            ("-----boundary7", "Multipart/Form-Data; charset=utf-8; Boundary=-----boundary7"),
            ("Case'Kept(7)", "multipart/form-data; boundary=Case'Kept(7)"),
            ("a, b: c; d", 'multipart/form-data; boundary="a, b: c; d"'),
            ("seven", "multipart/form-data; boundary=seven ; charset=utf-8"),
        ],
        ids=["plain", "quoted", "any case", "odd characters", "quoted separators", "space behind"],
    )
    def test_fields_are_the_image_and_its_parameters(self, boundary: str, content_type: str) -> None:
        body = multipart({"image": IMAGE, "top_k": b"3", "labels": "süß".encode()}, boundary)

        assert _form(body, content_type) == Request(
            InlineImage(IMAGE), {"top_k": "3", "labels": "süß"}, "photo.jpg"
        )

    @pytest.mark.parametrize(
        "parameters",
        [
            'name="image"',
            "name=image",
            'NAME="image"',
            'filename="x; name=evil.jpg"; name="image"',
            r'filename="a \"; name=b; \".jpg"; name="image"',
            r'filename="C:\photos\a.jpg"; name="image"',
            'filename=a.jpg ;name = "image"',
            "filename*=UTF-8''a%22.jpg; name=image; filename=name",
            'name="image"; name="other"',
        ],
    )
    def test_a_field_goes_by_its_name_whatever_its_file_is_called(self, parameters: str) -> None:
        head = f"Content-Disposition: form-data; {parameters}\r\n\r\n".encode()

        body = b"-------boundary7\r\n" + head + IMAGE + b"\r\n-------boundary7--\r\n"

        assert _form(body).source == InlineImage(IMAGE)

    @pytest.mark.parametrize(
        ("parameter", "expected"),
        [
            ('filename="cat.jpg"', "cat.jpg"),
            ("filename=cat.jpg", "cat.jpg"),
            ('filename=" die Katze.jpg "', "die Katze.jpg"),
            ('filename="süß 猫.jpg"', "süß 猫.jpg"),
            ('filename="a%22b.jpg"', 'a"b.jpg'),
            (r'filename="a\"b.jpg"', 'a"b.jpg'),
            (r'filename="C:\photos\cat.jpg"', "cat.jpg"),
            ('filename="../../etc/passwd"', "passwd"),
            ('filename="a\x00\x1b[2Jb\x85.jpg"', "a[2Jb.jpg"),
            (f'filename="{"x" * 300}.jpg"', "x" * 251 + ".jpg"),
            ('filename=""', ""),
            ('filename="folder/"', ""),
            ("filename*=UTF-8''cat.jpg", ""),
        ],
    )
    def test_the_file_is_called_by_the_end_of_its_name(self, parameter: str, expected: str) -> None:
        head = f'Content-Disposition: form-data; name="image"; {parameter}\r\n\r\n'.encode()

        body = b"-------boundary7\r\n" + head + IMAGE + b"\r\n-------boundary7--\r\n"

        assert _form(body).file_name == expected

    def test_an_image_may_hold_line_breaks_and_dashes(self) -> None:
        image = b"\r\n--\r\n\r\n-----bound\r\n"

        assert _form(multipart({"image": image})).source == InlineImage(image)

    def test_what_stands_before_the_first_boundary_is_left_out(self) -> None:
        body = b"a preamble\r\n" + multipart({"image": IMAGE})

        assert _form(body).source == InlineImage(IMAGE)

    def test_parameters_of_form_and_query_are_joined(self) -> None:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        body = multipart({"image": IMAGE, "top_k": b"3"}, "x")

        request = read_request(http_call(body, headers=headers, query={"threshold": "0.5"}), LIMIT)

        assert request.parameters == {"threshold": "0.5", "top_k": "3"}

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (multipart({"image": IMAGE}, closing=False), "cut off"),
            (multipart({"image": IMAGE})[:-40], "cut off"),
            (multipart({"photo": IMAGE}), 'no field "image"'),
            (multipart({"image": IMAGE}, closing=False) + multipart({"image": b"2"}), "twice"),
            (b"-----boundary7", "cut off"),
            (multipart({"image": IMAGE}).replace(b'name="image"; ', b""), "no name"),
            (multipart({"image": IMAGE}).replace(b"\r\n\r\n", b"\r\n"), "no name"),
            (multipart({}), "cut off"),
            (b"hello", "cut off"),
        ],
        ids=["open", "cut", "no image", "twice", "boundary", "no name", "no content", "no parts", "text"],
    )
    def test_a_broken_form_is_refused_with_what_is_wrong(self, body: bytes, problem: str) -> None:
        with pytest.raises(BadRequest, match=problem):
            _form(body)

    @pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
    def test_a_form_must_name_its_boundary(self, content_type: str) -> None:
        with pytest.raises(BadRequest, match="boundary"):
            _form(multipart({"image": IMAGE}), content_type)

    def test_the_limit_is_the_images_not_the_forms(self) -> None:
        assert _form(multipart({"image": bytes(LIMIT)})).source == InlineImage(bytes(LIMIT))
        with pytest.raises(TooLarge):
            _form(multipart({"image": bytes(LIMIT + 1)}))


class TestJson:
    def test_an_image_comes_in_base64(self) -> None:
        assert _json({"image": _base64()}).source == InlineImage(IMAGE)

    @pytest.mark.parametrize(
        "text",
        [
            base64.encodebytes(IMAGE).decode(),
            _base64().replace("A", "A \t\r\n"),
            f"data:image/jpeg;base64,{_base64()}",
            f"data:;base64,{_base64()}",
            f"DATA:IMAGE/PNG;Charset=utf-8;name=a.png;BASE64, {_base64()}",
            base64.urlsafe_b64encode(IMAGE).decode(),
            _base64().rstrip("="),
            f" \n{_base64()}\n",
        ],
        ids=[
            "lines",
            "blanks",
            "data url",
            "short",
            "parameters and capitals",
            "url-safe",
            "no padding",
            "around",
        ],
    )
    def test_line_breaks_and_data_urls_are_taken(self, text: str) -> None:
        assert _json({"image": text}).source == InlineImage(IMAGE)

    @pytest.mark.parametrize(
        "text",
        ["!!!!", "abcde", "abc=d", "aGk=aGk=", "YWJj===", "ä", "data:image/png,abc", "data:;base64,a"],
        ids=ascii,
    )
    def test_bad_base64_is_refused(self, text: str) -> None:
        with pytest.raises(BadRequest, match='"image" is'):
            _json({"image": text})

    def test_what_is_wrong_with_base64_is_told_with_its_place(self) -> None:
        with pytest.raises(BadRequest, match=r"'\*' at character 26"):
            _json({"image": "data:image/png;base64,abc*"})

    @pytest.mark.parametrize("text", ["", "data:image/png;base64,"], ids=["text", "data url"])
    def test_an_empty_image_is_refused_here_or_by_the_decoder(self, text: str) -> None:
        assert _json({"image": text}).source == InlineImage(b"")

    @pytest.mark.parametrize("value", [None, 5, ["aGk="], {"data": "aGk="}], ids=str)
    def test_an_image_that_is_no_text_is_refused(self, value: object) -> None:
        with pytest.raises(BadRequest, match="base64"):
            _json({"image": value})

    def test_an_object_in_s3_is_referred_to(self) -> None:
        request = _json({"s3": {"bucket": "in", "key": "holiday/a b+ü.jpg", "version_id": "v1"}})

        assert request.source == S3Object("in", "holiday/a b+ü.jpg", "v1")
        assert request.file_name == "a b+ü.jpg"

    @pytest.mark.parametrize(
        "value",
        [
            "s3://in/a.jpg",
            None,
            {},
            {"bucket": "in"},
            {"key": "a"},
            {"bucket": "", "key": "a"},
            {"bucket": "in", "key": ""},
            {"bucket": 5, "key": "a"},
            {"bucket": "in", "key": ["a"]},
            {"bucket": "in", "key": "a", "version_id": 7},
            {"bucket": "in", "key": "a", "region": "x"},
        ],
        ids=ascii,
    )
    def test_a_reference_that_lacks_something_is_refused(self, value: object) -> None:
        with pytest.raises(BadRequest, match="s3"):
            _json({"s3": value})

    def test_a_key_is_as_long_as_s3_allows(self) -> None:
        longest = "ü" * 512

        assert _json({"s3": {"bucket": "in", "key": longest}}).source == S3Object("in", longest)
        with pytest.raises(BadRequest, match=r'"s3\.key" has 1,025 bytes') as caught:
            _json({"s3": {"bucket": "in", "key": longest + "a"}})
        assert "ü" not in caught.value.detail

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"parameters": {}},
            {"image": "aGk=", "s3": {"bucket": "in", "key": "a"}},
            {"image": "aGk=", "top_k": 5},
            {"image": "aGk=", "parameters": []},
            {"image": "aGk=", "parameters": "top_k=5"},
            {"image": "aGk=", "x" * 5000: 1},
            {"image": "aGk=", "\ud800": 1},
        ],
        ids=lambda document: ascii(document)[:50],
    )
    def test_a_document_of_another_form_is_refused(self, document: object) -> None:
        with pytest.raises(BadRequest) as caught:
            _json(document)

        assert len(caught.value.detail) < 200

    @pytest.mark.parametrize(
        "body",
        [
            "{",
            "not json",
            "[]",
            '"text"',
            "null",
            "5",
            '{"image": "aGk="',
            "{'image': 1}",
            "[" * 5000,
            '{"a":' * 2000,
            '{"parameters": ' + "[" * 900 + "]" * 900 + "}",
            '{"n": ' + "9" * 5000 + "}",
            b"\xff\xfe\xfa",
            b'{"image": "\xff"}',
        ],
        ids=lambda body: ascii(body)[:25],
    )
    def test_what_is_no_json_object_is_refused(self, body: str | bytes) -> None:
        with pytest.raises(BadRequest):
            read_request(http_call(body, headers=JSON), LIMIT)

    def test_the_body_may_come_in_base64_itself(self) -> None:
        body = json.dumps({"image": _base64()}).encode()

        assert read_request(http_call(body, headers=JSON), LIMIT).source == InlineImage(IMAGE)

    def test_parameters_of_body_and_query_are_joined(self) -> None:
        request = _json({"image": "aGk=", "parameters": {"top_k": 3}}, {"model": "x"})

        assert request.parameters == {"model": "x", "top_k": 3}

    def test_a_parameter_given_twice_is_refused_by_name(self) -> None:
        with pytest.raises(InvalidParameter) as caught:
            _json({"image": "aGk=", "parameters": {"top_k": 3}}, {"top_k": "3"})

        assert caught.value.parameter == "top_k"

    def test_no_parameters_may_be_null(self) -> None:
        assert _json({"image": "aGk=", "parameters": None}).parameters == {}

    def test_the_limit_is_the_decoded_images(self) -> None:
        assert _json({"image": _base64(bytes(LIMIT))}).source == InlineImage(bytes(LIMIT))
        with pytest.raises(TooLarge):
            _json({"image": _base64(bytes(LIMIT + 1))})

    def test_a_document_too_long_for_any_image_is_refused_unread(self) -> None:
        with pytest.raises(TooLarge):
            read_json(http_call("[" * (LIMIT * 2), headers=JSON), LIMIT)


class TestHuggingFace:
    def test_raw_bytes_are_the_image(self) -> None:
        call = http_call(IMAGE, headers={"content-type": "image/png"})

        assert read_hf_request(call, LIMIT).source == InlineImage(IMAGE)

    def test_inputs_and_parameters_come_as_json(self) -> None:
        document = {"inputs": _base64(), "parameters": {"top_k": 2}, "options": {"wait_for_model": True}}

        request = read_hf_request(http_call(json.dumps(document), headers=JSON), LIMIT)

        assert request == Request(InlineImage(IMAGE), {"top_k": 2})

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"image": "aGk="},
            {"inputs": 5},
            {"inputs": ["aGk="]},
            {"inputs": "!"},
            {"inputs": "aGk=", "x": 1},
        ],
        ids=str,
    )
    def test_a_document_of_another_form_is_refused(self, document: object) -> None:
        with pytest.raises(BadRequest):
            read_hf_request(http_call(json.dumps(document), headers=JSON), LIMIT)


def test_a_plain_invocation_carries_the_same_document() -> None:
    document = {"s3": {"bucket": "in", "key": "a.jpg"}, "parameters": {"top_k": 1}}

    assert read_document(document, LIMIT) == Request(S3Object("in", "a.jpg"), {"top_k": 1}, "a.jpg")


@pytest.mark.parametrize(
    "body",
    [
        rb'{"task": "detection", "prefix": "a\ud800"}',
        rb'{"image": "\uDFFF"}',
        rb'{"s3": {"bucket": "in", "key": "\udc00\ud800"}}',
        b'{"prefix": "\xed\xa0\x80"}',
    ],
)
def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands(body: bytes) -> None:
    call = http_call(body)

    with pytest.raises(BadRequest, match=r"half of a surrogate pair|not valid JSON"):
        read_json(call, LIMIT)


def test_whole_surrogate_pairs_and_their_kin_are_text() -> None:
    call = http_call(rb'{"prefix": "\ud83d\ude00 \u00ed"}')

    assert read_json(call, LIMIT) == {"prefix": "\U0001f600 \u00ed"}
