"""Chains of operations: read from text and JSON, written back, and refused with what is wrong."""

from __future__ import annotations

import json
import math
import reprlib

import pytest

from vision.arguments import Length
from vision.chain import MAX_OPERATIONS, MAX_TEXT, read_chain, write_chain
from vision.errors import InvalidParameter
from vision.operations import OPERATIONS
from vision.plan import make_plan

EXAMPLE = "resize:w=640,h=480,fit=cover|rotate:degrees=15|flip:horizontal"


def _detail(ops: object) -> str:
    with pytest.raises(InvalidParameter) as refusal:
        read_chain(ops)
    assert refusal.value.status == 400
    assert refusal.value.parameter == "ops"
    return refusal.value.detail


def test_text_and_json_of_the_same_chain_are_read_alike() -> None:
    listed = [
        {"op": "resize", "w": 640, "h": 480, "fit": "cover"},
        {"op": "rotate", "degrees": 15},
        {"op": "flip", "direction": "horizontal"},
    ]

    assert read_chain(EXAMPLE) == read_chain(listed) == read_chain(json.dumps(listed))


def test_arguments_are_read_to_values_with_the_defaults_of_what_is_not_given() -> None:
    (resize,) = read_chain("resize:w=50%,fit=contain,background=#FF000080,enlarge=no")

    assert resize.arguments == {
        "w": Length(50.0, is_percent=True),
        "fit": "contain",
        "gravity": "center",
        "background": (255, 0, 0, 128),
        "filter": "lanczos",
        "enlarge": False,
    }


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("resize:640,480,cover", "resize:w=640,h=480,fit=cover"),
        ("resize:640,fit=inside", "resize:w=640,fit=inside"),
        ("resize:width=640,height=480", "resize:w=640,h=480"),
        ("crop:1,2,30,40", "crop:x=1,y=2,w=30,h=40"),
        ("center-crop:224", "center-crop:w=224"),
        ("pad:10", "pad:all=10"),
        ("pad:1,2,3,4", "pad:left=1,top=2,right=3,bottom=4"),
        ("rotate:-15", "rotate:degrees=-15"),
        ("rotate:.5", "rotate:degrees=0.5"),
        ("flip", "flip:direction=horizontal"),
        ("blur:radius=2", "blur:sigma=2"),
        ("pad:1,background=fff", "pad:all=1,background=ffffff"),
        ("pad:1,2,background=fff", "pad:left=1,top=2,background=ffffff"),
        (" resize : w = 640 , h = 480 | flip ", "resize:w=640,h=480|flip"),
    ],
)
def test_positions_aliases_and_spaces_are_other_ways_to_write_the_same(short: str, long: str) -> None:
    assert read_chain(short) == read_chain(long)


def test_what_is_written_leaves_out_defaults() -> None:
    ops = (
        "resize:w=640.0,h=50%,fit=fill,filter=lanczos,enlarge=no|rotate:90,expand=yes|pad:5,background=white"
    )

    assert write_chain(read_chain(ops)) == (
        "resize:w=640,h=50%,enlarge=no|rotate:degrees=90|pad:all=5,background=ffffff"
    )


@pytest.mark.parametrize(
    "ops",
    [
        EXAMPLE,
        "crop:w=33.333333%,h=10,gravity=northeast|pad:w=100,h=100,mode=reflect,background=12345678",
        "rotate:-359.999999,expand=no|gamma:0.454545|translate:x=-10%,y=-5|shear:x=-0.000001",
        "random-resized-crop:224|random-flip:0.25,vertical|randaugment:n=3,m=30|autoaugment:svhn",
    ],
)
def test_what_is_written_is_read_as_the_same_chain(ops: str) -> None:
    chain = read_chain(ops)

    assert read_chain(write_chain(chain)) == chain


def test_as_many_operations_and_characters_as_allowed_are_taken() -> None:
    assert len(read_chain("|".join(["flip"] * MAX_OPERATIONS))) == MAX_OPERATIONS
    assert len(read_chain("flip".ljust(MAX_TEXT))) == 1


def _id(value: object) -> str:
    return f"{reprlib.repr(value):.40}"


def _nested(depth: int) -> list[object]:
    nested: list[object] = []
    for _ in range(depth):
        nested = [nested]
    return nested


# Each with what its detail must say: the operation with its position, the parameter, what is at fault.
MALFORMED: list[tuple[object, tuple[str, ...]]] = [
    # nothing, or no chain at all
    ("", ("empty",)),
    ("  ", ("operation 1",)),
    ([], ("empty",)),
    ("[]", ("empty",)),
    (None, ("must be text",)),
    (640, ("must be text",)),
    (math.nan, ("must be text",)),
    (True, ("must be text",)),
    (b"flip", ("must be text",)),
    ({"op": "flip"}, ("must be text",)),
    (("flip",), ("must be text",)),
    # parts that are missing
    ("|", ("operation 1",)),
    ("flip|", ("operation 2",)),
    ("|flip", ("operation 1",)),
    ("flip||flip", ("operation 2",)),
    (":", ("operation 1",)),
    (":w=1", ("operation 1",)),
    ("resize:", ("operation 1 (resize)", "arguments")),
    ("resize: ", ("operation 1 (resize)", "arguments")),
    ("resize", ("operation 1 (resize)", "w or h")),
    ("resize:,", ("operation 1 (resize)", "w must be")),
    ("resize:640,", ("operation 1 (resize)", "h must be")),
    ("resize:w=", ("operation 1 (resize)", "w must be")),
    ("resize:=640", ("operation 1 (resize)", "''")),
    ("resize:w", ("operation 1 (resize)", "w must be")),
    ("resize:fit=cover", ("operation 1 (resize)", "w or h")),
    ("rotate", ("operation 1 (rotate)", "degrees is missing")),
    ("flip|crop:w=10", ("operation 2 (crop)", "h is missing")),
    ("crop:x=1,y=1", ("operation 1 (crop)", "w is missing")),
    ("center-crop", ("operation 1 (center-crop)", "w is missing")),
    ("pad", ("operation 1 (pad)", "missing")),
    ("pad:mode=edge", ("operation 1 (pad)", "missing")),
    ("blur", ("operation 1 (blur)", "sigma is missing")),
    # names that are none
    ("rezise:w=1", ("operation 1", "rezise")),
    ("flip|rezise:w=1", ("operation 2", "rezise")),
    ("Resize:w=1", ("operation 1", "Resize")),
    ("RESIZE:w=1", ("operation 1", "RESIZE")),
    ("resizé:w=1", ("operation 1", "unknown operation")),
    ("re size:w=1", ("operation 1", "unknown operation")),
    ("__class__", ("operation 1", "__class__")),
    ("../../etc/passwd", ("operation 1", "unknown operation")),
    ("<script>alert(1)</script>", ("operation 1", "unknown operation")),
    ("'; DROP TABLE jobs; --", ("operation 1", "unknown operation")),
    ("${jndi:ldap://x}", ("operation 1", "unknown operation")),
    ("flip\x00", ("operation 1", "unknown operation")),
    ("\x00", ("operation 1", "unknown operation")),
    ("fl\r\nip", ("operation 1", "unknown operation")),
    ("\ud800", ("operation 1", "unknown operation")),
    ("\u202eflip", ("operation 1", "unknown operation")),
    ("x" * 3_000, ("operation 1", "unknown operation")),
    ("resize;w=640", ("operation 1", "unknown operation")),
    ("resize(w=640)", ("operation 1", "unknown operation")),
    ("flip,flip", ("operation 1", "unknown operation")),
    # parameters that are none, or twice
    ("resize:width=1,depth=2", ("operation 1 (resize)", "depth")),
    ("resize:W=640", ("operation 1 (resize)", "'W'")),
    ("resize:w=1,w=2", ("operation 1 (resize)", "'w' is given twice")),
    ("resize:w=1,width=2", ("operation 1 (resize)", "w is given twice")),
    ("resize:1,w=2", ("operation 1 (resize)", "'w' is given twice")),
    ("rotate:15,degrees=15", ("operation 1 (rotate)", "'degrees' is given twice")),
    ("blur:sigma=1,radius=1", ("operation 1 (blur)", "sigma is given twice")),
    ("resize:w=1,2", ("operation 1 (resize)", "'2'", "no name")),
    ("flip:horizontal,vertical", ("operation 1 (flip)", "one argument too many")),
    ("invert:1", ("operation 1 (invert)", "one argument too many")),
    ("equalize:x=1", ("operation 1 (equalize)", "'x'")),
    ("rotate:op=flip", ("operation 1 (rotate)", "'op'")),
    ("rotate:15:30", ("operation 1 (rotate)", "degrees must be")),
    ("rotate:degrees=15=30", ("operation 1 (rotate)", "degrees must be")),
    ("rotate:degrees==15", ("operation 1 (rotate)", "degrees must be")),
    # arguments that exclude each other
    ("crop:x=1,w=10,h=10,gravity=north", ("operation 1 (crop)", "gravity and x, y exclude")),
    ("pad:all=1,left=2", ("operation 1 (pad)", "all and left exclude")),
    ("pad:left=1,w=20", ("operation 1 (pad)", "left and w exclude")),
    ("pad:left=1,gravity=north", ("operation 1 (pad)", "gravity needs w or h")),
    ("random-rotate:min=10,max=-10", ("operation 1 (random-rotate)", "min is above max")),
    ("random-resized-crop:9,scale_min=.9,scale_max=.1", ("(random-resized-crop)", "scale_min is above")),
    ("random-resized-crop:9,ratio_min=2,ratio_max=1", ("(random-resized-crop)", "ratio_min is above")),
    # colours, choices and flags
    *(
        (f"pad:1,background={value}", ("operation 1 (pad)", "background must be"))
        for value in ("ff", "ffff", "fffffff", "ggg", "##fff", "#", "fffffffff", "red", "rgb(1)", "0xffffff")
    ),
    *(
        (f"resize:w=1,fit={value}", ("operation 1 (resize)", "fit must be one of fill"))
        for value in ("crop", "Cover", "cover ish", "1", "cover;", "\u0441over")
    ),
    *(
        (f"resize:w=1,h=1,gravity={value}", ("operation 1 (resize)", "gravity must be"))
        for value in ("centre", "north-east", "north east", "0")
    ),
    *(
        (f"resize:w=1,enlarge={value}", ("operation 1 (resize)", "enlarge must be yes or no"))
        for value in ("1", "0", "Yes", "true", "on")
    ),
    ("rotate:15,filter=lanczos", ("operation 1 (rotate)", "filter must be")),
    ("flip:both", ("operation 1 (flip)", "direction must be")),
    ("pad:1,mode=wrap", ("operation 1 (pad)", "mode must be")),
    ("autoaugment:coco", ("operation 1 (autoaugment)", "policy must be")),
    # numbers that are none, in sizes and in angles
    *(
        (f"resize:w={value}", ("operation 1 (resize)", "w must be a whole number"))
        for value in (
            *(
                "0",
                "-1",
                "-0",
                "32769",
                "999999",
                "9999999",
                "1" * 3_000,
                "640.5",
                ".5",
                "1e3",
                "1E3",
                "0x10",
            ),
            *(
                "1_000",
                "1 000",
                "+640",
                "--1",
                "1.",
                "1.2.3",
                "nan",
                "inf",
                "-inf",
                "Infinity",
                "NaN",
                "1\n2",
            ),
            *("640px", "w", "%", "50%%", "-1%", "1001%", "nan%", "1e2%", "% 50", "\u0661\u0662", "\uff11"),
            *("\u00b2", "\u2460", "1\u200b", "1\x00", "1/2", "1;2", "None", "true", "\ud800", "\u221e"),
        )
    ),
    *(
        (f"flip|rotate:degrees={value}", ("operation 2 (rotate)", "degrees must be a number"))
        for value in (
            "361",
            "-360.000001",
            "1e1",
            "inf",
            "nan",
            "15deg",
            "90%",
            "9" * 400,
            "\u0969",
            "-",
            ".",
        )
    ),
    # out of range, one of each kind
    ("crop:x=-1,y=0,w=1,h=1", ("operation 1 (crop)", "x must be")),
    ("crop:x=101%,y=0,w=1,h=1", ("operation 1 (crop)", "x must be")),
    ("pad:-1", ("operation 1 (pad)", "all must be")),
    ("pad:left=101%", ("operation 1 (pad)", "left must be")),
    ("shear:x=76", ("operation 1 (shear)", "x must be")),
    ("shear:y=-90", ("operation 1 (shear)", "y must be")),
    ("translate:x=-101%", ("operation 1 (translate)", "x must be")),
    ("translate:y=1.5", ("operation 1 (translate)", "y must be")),
    ("brightness:-0.1", ("operation 1 (brightness)", "factor must be")),
    ("contrast:10.1", ("operation 1 (contrast)", "factor must be")),
    ("saturation:1e9", ("operation 1 (saturation)", "factor must be")),
    ("sharpness:50%", ("operation 1 (sharpness)", "factor must be")),
    ("gamma:0", ("operation 1 (gamma)", "gamma must be")),
    ("hue:181", ("operation 1 (hue)", "degrees must be")),
    ("autocontrast:50", ("operation 1 (autocontrast)", "cutoff must be")),
    ("blur:101", ("operation 1 (blur)", "sigma must be")),
    ("posterize:0", ("operation 1 (posterize)", "bits must be")),
    ("posterize:7.5", ("operation 1 (posterize)", "bits must be")),
    ("solarize:256", ("operation 1 (solarize)", "threshold must be")),
    ("random-flip:1.1", ("operation 1 (random-flip)", "p must be")),
    ("random-crop:0,0", ("operation 1 (random-crop)", "w must be")),
    ("random-resized-crop:9,scale_min=0", ("operation 1 (random-resized-crop)", "scale_min must be")),
    ("randaugment:n=11", ("operation 1 (randaugment)", "n must be")),
    ("randaugment:m=31", ("operation 1 (randaugment)", "m must be")),
    # too much
    ("|".join(["resize:w=200%"] * 30), ("30 operations", "at most 20")),
    ("|".join(["flip"] * 21), ("21 operations", "at most 20")),
    ("|" * 3_999, ("4,000 operations",)),
    ("flip" + " " * 4_000, ("4,004 characters",)),
    ("[" * 100_000, ("100,000 characters",)),
    ([{"op": "flip"}] * 100_000, ("100,000 operations",)),
    # JSON
    ("[", ("not valid JSON",)),
    ("[}", ("not valid JSON",)),
    ("[{]", ("not valid JSON",)),
    ("[" * 4_000, ("JSON",)),
    ("[" * 900 + "]" * 900, ("operation 1",)),
    ('[{"op": "flip"}', ("not valid JSON",)),
    ('[{"op": "flip"},]', ("not valid JSON",)),
    ("[{'op': 'flip'}]", ("not valid JSON",)),
    ('[{"op": "flip"}] trailing', ("not valid JSON",)),
    ('[{"op": "rotate", "degrees": ' + "9" * 3_900 + "}]", ("operation 1 (rotate)", "degrees must be")),
    ('[{"op": "rotate", "degrees": NaN}]', ("operation 1 (rotate)", "degrees must be")),
    ('[{"op": "rotate", "degrees": Infinity}]', ("operation 1 (rotate)", "degrees must be")),
    ('[{"op": "rotate", "degrees": -Infinity}]', ("operation 1 (rotate)", "degrees must be")),
    ('[{"op": "rotate", "degrees": 1e999}]', ("operation 1 (rotate)", "degrees must be")),
    ('[{"op": "resize", "w": 1, "w": 2}]', ("given twice",)),
    ('["\\ud800"]', ("operation 1",)),
    ("[null]", ("operation 1", "must be an object")),
    ("[1]", ("operation 1", "must be an object")),
    ('["flip"]', ("operation 1", "must be an object")),
    ("[[]]", ("operation 1", "must be an object")),
    ("[{}]", ("operation 1", '"op" must be')),
    ([{"name": "flip"}], ("operation 1", '"op" must be')),
    ([{"op": None}], ("operation 1", '"op" must be')),
    ([{"op": 1}], ("operation 1", '"op" must be')),
    ([{"op": ["flip"]}], ("operation 1", '"op" must be')),
    ([{"op": {}}], ("operation 1", '"op" must be')),
    ([{"op": ""}], ("operation 1", "unknown operation")),
    ([{"op": "flip|flip"}], ("operation 1", "unknown operation")),
    ([{"op": "flip"}, {"op": "spin"}], ("operation 2", "spin")),
    ([{"op": "flip", "direction": None}], ("operation 1 (flip)", "direction must be")),
    ([{"op": "flip", "direction": ["horizontal"]}], ("operation 1 (flip)", "direction must be")),
    ([{"op": "flip", "": 1}], ("operation 1 (flip)", "unknown parameter ''")),
    ([{"op": "rotate", "degrees": True}], ("operation 1 (rotate)", "degrees must be")),
    ([{"op": "rotate", "degrees": None}], ("operation 1 (rotate)", "degrees must be")),
    ([{"op": "rotate", "degrees": []}], ("operation 1 (rotate)", "degrees must be")),
    ([{"op": "rotate", "degrees": {}}], ("operation 1 (rotate)", "degrees must be")),
    ([{"op": "rotate", "degrees": math.nan}], ("operation 1 (rotate)", "degrees must be")),
    ([{"op": "rotate", "degrees": math.inf}], ("operation 1 (rotate)", "degrees must be")),
    ([{"op": "rotate", "degrees": 10**400}], ("operation 1 (rotate)", "degrees must be")),
    ([{"op": "rotate", "degrees": 1e308}], ("operation 1 (rotate)", "degrees must be")),
    ([{"op": "resize", "w": 640.5}], ("operation 1 (resize)", "w must be")),
    ([{"op": "resize", "w": [640]}], ("operation 1 (resize)", "w must be")),
    ([{"op": "resize", "w": 0}], ("operation 1 (resize)", "w must be")),
    ([{"op": "resize", "w": 1, "enlarge": 1}], ("operation 1 (resize)", "enlarge must be")),
    ([{"op": "resize", "w": 1, "fit": True}], ("operation 1 (resize)", "fit must be")),
    ([{"op": "pad", "all": 1, "background": 255}], ("operation 1 (pad)", "background must be")),
    ([{"op": "pad", "all": 1, "background": [0, 0, 0]}], ("operation 1 (pad)", "background must be")),
    ([{"op": "pad", "all": 1, "background": [0, 0, 0, 0]}], ("operation 1 (pad)", "background must be")),
    ([[{"op": "flip"}]], ("operation 1", "must be an object")),
    ([None], ("operation 1", "must be an object")),
    (_nested(100_000), ("operation 1", "must be an object")),
    ([{"op": _nested(100_000)}], ("operation 1", '"op" must be')),
    ([{"op": "rotate", "degrees": _nested(100_000)}], ("operation 1 (rotate)", "degrees must be")),
    ([b"flip"], ("operation 1", "must be an object")),
]


def test_two_hundred_malformed_chains_are_tried() -> None:
    assert len(MALFORMED) >= 200
    assert len({ops for ops, _ in MALFORMED if isinstance(ops, str)}) >= 150


@pytest.mark.parametrize(("ops", "said"), MALFORMED, ids=_id)
def test_a_malformed_chain_is_refused_with_its_operation_and_parameter(
    ops: object, said: tuple[str, ...]
) -> None:
    detail = _detail(ops)

    assert all(each in detail for each in said), detail
    assert len(detail) < 1_000


# Well written, but not to be done to a picture of 400 x 300.
UNFIT: list[tuple[str, tuple[str, ...]]] = [
    ("crop:w=401,h=1", ("operation 1 (crop)", "w is 401", "400 x 300")),
    ("crop:w=1,h=301", ("operation 1 (crop)", "h is 301", "400 x 300")),
    ("crop:x=301,y=0,w=100,h=100", ("operation 1 (crop)", "w is 100", "400 x 300")),
    ("crop:x=0,y=100%,w=1,h=1", ("operation 1 (crop)", "h is 1", "400 x 300")),
    ("center-crop:301", ("operation 1 (center-crop)", "h is 301", "400 x 300")),
    ("resize:w=100|crop:w=101,h=10", ("operation 2 (crop)", "w is 101", "100 x 75")),
    ("rotate:90|crop:w=400,h=300", ("operation 2 (crop)", "w is 400", "300 x 400")),
    ("random-crop:401,300", ("operation 1 (random-crop)", "w", "400 x 300")),
    ("resize:w=32768,h=32768", ("operation 1 (resize)", "32,768 x 32,768", "limit")),
    ("resize:w=1000%,h=1000%|resize:w=1000%", ("operation 2 (resize)", "40,000 x 30,000")),
    ("resize:w=1,h=32768,fit=outside", ("operation 1 (resize)", "43,691", "side")),
    ("pad:32768", ("operation 1 (pad)", "65,936", "side")),
    ("|".join(["resize:w=150%"] * 20), ("operation 8 (resize)", "limit")),
    ("resize:8000,6000|" + "|".join(["rotate:1,expand=no"] * 19), ("operation", "(rotate)", "the limit is")),
]


@pytest.mark.parametrize(("ops", "said"), UNFIT, ids=_id)
def test_what_does_not_fit_the_picture_is_refused_with_its_operation(ops: str, said: tuple[str, ...]) -> None:
    from vision.augment import variant_rng  # noqa: PLC0415

    chain = read_chain(ops)

    with pytest.raises(InvalidParameter) as refusal:
        make_plan(chain, 400, 300, max_pixels=50_000_000, rng=variant_rng(0, 0))

    assert refusal.value.parameter == "ops"
    assert all(each in refusal.value.detail for each in said), refusal.value.detail


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_refuses_what_it_does_not_know(name: str) -> None:
    detail = _detail(f"{name}:colour=red")

    assert f"operation 1 ({name})" in detail
    assert "'colour'" in detail


PARAMETERS = [(name, each.name) for name, known in OPERATIONS.items() for each in known.parameters]


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
@pytest.mark.parametrize("value", ["", "?", "1e400", "\u0663"])
def test_every_parameter_refuses_what_is_no_value_of_it(name: str, parameter: str, value: str) -> None:
    detail = _detail(f"flip|{name}:{parameter}={value}")

    assert f"operation 2 ({name}): {parameter} must be " in detail
