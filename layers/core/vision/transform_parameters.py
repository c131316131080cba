"""The parameters of a transform: what is done to a picture, and the form in which it is answered."""

from __future__ import annotations

from collections.abc import Mapping

from vision.annotations import Box, read_boxes
from vision.arguments import color
from vision.base64_text import decode_base64
from vision.chain import read_chain
from vision.definitions import Operation
from vision.errors import InvalidParameter
from vision.frozen import dataclass
from vision.params import MAX_SEED, Parsers, name_text, parse_values, whole_number
from vision.steps import Color

FORMATS = {"jpeg": "JPEG", "jpg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF"}
KEEPABLE = ("icc", "exif")
MAX_VARIANTS = 64
MAX_DPR = 4
_WHITE: Color = (255, 255, 255, 255)


@dataclass(frozen=True, slots=True)
class TransformParameters:
    """Checked parameters of a transform.

    Attributes:
        ops: what is done, in order; empty: the picture is written anew, upright and without metadata.
        preset: name of the preset that some of them come from; empty: none.
        format: of the answer, a key of `formats.CONTENT_TYPES`; none: as `Accept` says, or as it came.
        quality: of the encoder, 1..100; none: its default.
        background: what transparency is laid on where the format has none; opaque.
        dpr: what lengths of the result are multiplied with, 1..4.
        keep: what metadata the answer keeps: `icc`, `exif`.
        seed: what random operations are drawn from; none: one is drawn.
        n: how many variants, 1..64; none: one picture that is the answer itself.
        boxes: to be transformed with the picture; none: not asked for.
        mask: PNG of class ids, to be transformed with the picture.
        mask_fill: class id of pixels that come from outside of the picture, 0..255.
    """

    ops: tuple[Operation, ...] = ()
    preset: str = ""
    format: str | None = None
    quality: int | None = None
    background: Color = _WHITE
    dpr: float = 1.0
    keep: tuple[str, ...] = ()
    seed: int | None = None
    n: int | None = None
    boxes: tuple[Box, ...] | None = None
    mask: bytes | None = None
    mask_fill: int = 0

    @property
    def is_picture(self) -> bool:
        """Whether the answer is one picture and nothing beside it."""
        return self.n is None and self.boxes is None and self.mask is None


def read_transform_parameters(
    raw: Mapping[str, object], presets: Mapping[str, Mapping[str, object]] | None = None
) -> TransformParameters:
    """Gives the parameters of a request; those of its preset stand in for what it does not give.

    Args:
        raw: values by name, as text from a query or as JSON values.
        presets: parameters by the name of the preset; none: not known here, so names are not checked.

    Raises:
        InvalidParameter: naming the parameter that is unknown, malformed or out of range.
    """
    values = parse_values("transform", PARSERS, raw)
    name = values.get("preset")
    if name is None or presets is None:
        return TransformParameters(**values)
    if name not in presets:
        known = ", ".join(sorted(presets)) or "none"
        raise InvalidParameter(f"preset: there is no {name!r:.60}; there are: {known}", parameter="preset")
    if "ops" in values:
        raise InvalidParameter("ops: the preset has its own; give one of the two", parameter="ops")
    return TransformParameters(**{**parse_values("transform", PRESET_PARSERS, presets[name]), **values})


def _format(value: object) -> str:
    if not isinstance(value, str) or value.lower() not in FORMATS:
        raise ValueError(f"must be one of {', '.join(FORMATS)}")
    return FORMATS[value.lower()]


def _background(value: object) -> Color:
    kind = color()
    try:
        found = kind.parse(value)
    except ValueError:
        raise ValueError(f"must be {kind.allowed}") from None
    if not isinstance(found, tuple) or found[3] != 255:
        raise ValueError("must be an opaque colour such as ffffff")
    return found


def _dpr(value: object) -> float:
    number = 0.0
    # `float` takes underscores and the digits of any script.
    if isinstance(value, str) and value.isascii() and "_" not in value and len(value) < 32:
        try:
            number = float(value)
        except ValueError:
            number = 0.0
    elif isinstance(value, int | float) and not isinstance(value, bool) and value <= MAX_DPR:
        number = float(value)
    if not 1 <= number <= MAX_DPR:
        raise ValueError(f"must be a number from 1 to {MAX_DPR}")
    return number


def _keep(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"must be of {', '.join(KEEPABLE)}, separated by commas")
    found = {name.strip() for name in names}
    if not found <= {*KEEPABLE}:
        raise ValueError(f"must be of {', '.join(KEEPABLE)}, separated by commas")
    return tuple(sorted(found))


def _mask(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a PNG in base64")
    try:
        return decode_base64(value)
    except ValueError as error:
        raise ValueError(f"must be a PNG in base64 (this {error})") from None


PRESET_PARSERS: Parsers = {
    "ops": read_chain,
    "format": _format,
    "quality": whole_number(1, 100),
    "background": _background,
    "dpr": _dpr,
    "keep": _keep,
    "seed": whole_number(0, MAX_SEED),
    "n": whole_number(1, MAX_VARIANTS),
    "mask_fill": whole_number(0, 255),
}
PARSERS: Parsers = {**PRESET_PARSERS, "preset": name_text, "boxes": read_boxes, "mask": _mask}
