"""The form of an answer: what `format` and `file_name` take, and who may send them."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import InvalidParameter
from vision.forms import FORMATS, MAX_FILE_NAME, Form, last_part, read_http_parameters
from vision.job_parameters import check_parameters
from vision.params import Parameters, read_hf_parameters


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in FORMATS for name in FORMATS[task]])
def test_each_format_of_a_task_is_taken_beside_its_other_parameters(task: str, name: str) -> None:
    parameters, form = read_http_parameters(task, {"labels": "cat", "format": name, "file_name": "a/b.jpg"})

    assert parameters == Parameters(labels=("cat",))
    assert form == Form(name, "a/b.jpg")


def test_without_them_accept_and_the_request_decide() -> None:
    assert read_http_parameters("detection", {}) == (Parameters(), Form(None, ""))


@pytest.mark.parametrize(
    ("task", "value"),
    [("detection", "index-png"), ("segmentation", "yolo"), ("detection", "COCO"), ("detection", 1)],
)
def test_a_format_that_the_task_does_not_have_is_refused(task: str, value: object) -> None:
    with pytest.raises(InvalidParameter, match="format: must be one of json, png, jpeg, coco") as caught:
        read_http_parameters(task, {"format": value})

    assert caught.value.parameter == "format"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        7,
        ["a.jpg"],
        "a\x00.jpg",
        "a\n.jpg",
        "a\x1b[2J.jpg",
        "a\x85.jpg",
        "a\ud800.jpg",
        "a\uffff.jpg",
        "x" * (MAX_FILE_NAME + 1),
    ],
    ids=ascii,
)
def test_a_file_name_is_short_text_without_control_characters(value: object) -> None:
    with pytest.raises(InvalidParameter, match="file_name: must be a name of at most 255") as caught:
        read_http_parameters("detection", {"file_name": value})

    assert caught.value.parameter == "file_name"


@pytest.mark.parametrize(
    "value", ["x" * MAX_FILE_NAME, "<&\"'>.jpg", "süß 猫\u3000👩\u200d💻.jpg", "train2017/1.jpg"]
)
def test_any_other_name_is_taken_as_it_is(value: str) -> None:
    assert read_http_parameters("segmentation", {"file_name": value})[1].file_name == value


@pytest.mark.parametrize("name", ["format", "file_name"])
def test_only_detection_and_segmentation_over_http_take_them(name: str) -> None:
    given = {name: "json"}
    with pytest.raises(InvalidParameter, match="unknown parameter"):
        read_http_parameters("classification", given)
    for task in FORMATS:
        with pytest.raises(InvalidParameter, match="unknown parameter"):
            check_parameters(task, given)
        with pytest.raises(InvalidParameter, match="unknown parameter"):
            read_hf_parameters(task, given)


@given(st.text())
def test_the_end_of_any_path_can_stand_in_xml(path: str) -> None:
    name = last_part(path)

    root = Xml.Element("name")
    root.text = name
    assert (Xml.fromstring(Xml.tostring(root, encoding="us-ascii")).text or "") == name
    assert len(name) <= MAX_FILE_NAME
    assert not re.search(r"[/\\\x00-\x1f\x7f]", name)
