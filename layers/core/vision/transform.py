"""One photo through a chain of operations: opened, planned within every limit, and only then decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vision.annotations import Box, edges_of, with_edges
from vision.chain import write_chain
from vision.class_maps import apply_to_mask, read_mask, write_mask
from vision.encoding import DEEP_FORMATS, check_output, check_together, encode_raster
from vision.errors import InvalidParameter
from vision.formats import CONTENT_TYPES
from vision.frozen import dataclass
from vision.image import Photo, open_photo
from vision.lazy import np
from vision.metadata import exif_of
from vision.operations import is_random
from vision.plan import MAX_WORK, Plan, make_plan
from vision.raster import Raster, apply, read_raster
from vision.steps import Resample, Step, boxes_after
from vision.telemetry import Stopwatch
from vision.transform_parameters import TransformParameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif"}
AS_IT_CAME = ""  # in place of the name of a format


@dataclass(frozen=True, slots=True)
class Transform:
    """What will be done to a photo that is opened and not yet decoded.

    Attributes:
        photo: the upright photo's size and format.
        parameters: of the request.
        plans: one a variant.
        seed: what random operations were drawn from.
        format: of the results, a key of `EXTENSIONS`.
        mask: (height, width) uint8 class ids of the photo; none: there are none.
    """

    photo: Photo
    parameters: TransformParameters
    plans: tuple[Plan, ...]
    seed: int
    format: str
    mask: NDArray[np.uint8] | None

    @property
    def content_type(self) -> str:
        """Of the results."""
        return CONTENT_TYPES[self.format]


@dataclass(frozen=True, slots=True)
class Variant:
    """One result.

    Attributes:
        ops: what was done, with what was drawn, as text of the grammar.
        width, height: in pixels.
        data: the encoded picture.
        boxes: those of which something is left, in the form they came; none: there were none.
        mask: PNG of class ids; none: there was none.
    """

    ops: str
    width: int
    height: int
    data: bytes
    boxes: list[Box] | None
    mask: bytes | None


def open_transform(
    data: bytes,
    parameters: TransformParameters,
    *,
    max_pixels: int,
    formats: Sequence[str] = (),
    default_seed: int | None = None,
) -> Transform:
    """Opens a photo and plans what is done to it.

    Args:
        data: the bytes of the photo, in any listed format.
        parameters: of the request.
        max_pixels: of the photo, of each intermediate size, and of all results together.
        formats: of the results, best first, where the parameters name none: keys of `EXTENSIONS` or
            `AS_IT_CAME`.
        default_seed: what to draw from where the parameters have no seed; none: it is drawn itself.

    Raises:
        VisionError: what is wrong with the photo or the parameters; nothing was decoded for it.
    """
    photo = open_photo(data, max_pixels=max_pixels)
    seed = _seed(parameters, default_seed)
    plans: list[Plan] = []
    for index in range(parameters.n or 1):
        plans.append(_plan(parameters, photo, seed, index, max_pixels))
        _check_total(plans, max_pixels)
    name = _format(photo, parameters, formats, plans)
    mask = None
    if parameters.mask is not None:
        mask = read_mask(parameters.mask, photo.width, photo.height, max_pixels=max_pixels)
    return Transform(photo, parameters, tuple(plans), seed, name, mask)


def run_transform(transform: Transform, watch: Stopwatch) -> Iterator[Variant]:
    """Gives the variants, each when it is asked for.

    Raises:
        VisionError: when the photo is corrupt.
        MemoryError: when it takes more memory than the process may have.
    """
    with watch.stage("decode"):
        raster = _decoded(transform)
    num_left = len(transform.plans)
    for plan in transform.plans:
        num_left -= 1
        with watch.stage("transform"):
            result = apply(raster, plan.steps)
            if not num_left:
                del raster  # a large photo would stand in the way of the encoder
            boxes = _boxes(transform, plan)
            mask = _mask(transform, plan)
        with watch.stage("encode"):
            data = _encoded(transform, result)
        yield Variant(write_chain(plan.operations), plan.width, plan.height, data, boxes, mask)


def _seed(parameters: TransformParameters, default_seed: int | None) -> int:
    if parameters.seed is not None:
        return parameters.seed
    if not is_random(parameters.ops):
        return 0  # nothing is drawn from it: the same request gives the same answer
    return int.from_bytes(os.urandom(4)) >> 1 if default_seed is None else default_seed


def _plan(parameters: TransformParameters, photo: Photo, seed: int, index: int, max_pixels: int) -> Plan:
    rng = None
    if is_random(parameters.ops):
        # The tables of policies take a millisecond of a cold start, spent only where something is drawn.
        from vision.augment import variant_rng  # noqa: PLC0415

        rng = variant_rng(seed, index)
    return make_plan(
        parameters.ops, photo.width, photo.height, dpr=parameters.dpr, rng=rng, max_pixels=max_pixels
    )


def _check_total(plans: Sequence[Plan], max_pixels: int) -> None:
    """Passes variants whose work and pixels together are no more than those of one large picture."""
    work = sum(plan.work for plan in plans)
    if work > MAX_WORK:
        raise InvalidParameter(
            f"n: the work of {len(plans)} variants is that of {work:,} pixels, the limit is {MAX_WORK:,}; "
            "ask for fewer variants or smaller ones",
            parameter="n",
        )
    pixels = sum(plan.width * plan.height for plan in plans)
    if len(plans) > 1 and pixels > max_pixels:
        raise InvalidParameter(
            f"n: {len(plans)} variants have {pixels:,} pixels, the limit is {max_pixels:,}; ask for fewer "
            "variants or smaller ones",
            parameter="n",
        )


def _format(
    photo: Photo, parameters: TransformParameters, formats: Sequence[str], plans: Sequence[Plan]
) -> str:
    """The first format that can hold the results.

    Raises:
        InvalidParameter: why the first cannot, when none can.
    """
    own = photo.format if photo.format in EXTENSIONS else "PNG"
    wanted = [parameters.format] if parameters.format else [name or own for name in formats or (AS_IT_CAME,)]
    faults = []
    for name in wanted:
        try:
            for plan in plans:
                check_output(name, plan.width, plan.height)
            check_together(name, [(plan.width, plan.height) for plan in plans])
        except InvalidParameter as error:
            faults.append(error)
        else:
            return name
    raise faults[0]


def _decoded(transform: Transform) -> Raster:
    """The photo, decoded once for all variants.

    A JPEG is decoded at the smallest scale that is enough for every one of them, where each begins with a
    resize; else whole, for a variant that crops or turns needs all its pixels.
    """
    steps: Sequence[Step] = transform.plans[0].steps
    if len(transform.plans) > 1:
        photo = transform.photo
        scales = [_scale(plan) for plan in transform.plans]
        width = round(photo.width * max(scale[0] for scale in scales)) or 1
        height = round(photo.height * max(scale[1] for scale in scales)) or 1
        whole = (0.0, 0.0, float(photo.width), float(photo.height))
        is_enough = all(plan.steps and isinstance(plan.steps[0], Resample) for plan in transform.plans)
        steps = [Resample(whole, width, height, "box")] if is_enough else []
    return read_raster(
        transform.photo,
        steps,
        keep_icc="icc" in transform.parameters.keep,
        keep_depth=transform.format in DEEP_FORMATS,
    )


def _scale(plan: Plan) -> tuple[float, float]:
    first = plan.steps[0] if plan.steps else None
    if not isinstance(first, Resample):
        return 1.0, 1.0
    left, top, right, bottom = first.box
    return first.width / (right - left), first.height / (bottom - top)


def _boxes(transform: Transform, plan: Plan) -> list[Box] | None:
    given = transform.parameters.boxes
    if given is None:
        return None
    size = (transform.photo.width, transform.photo.height)
    edges = np.array([edges_of(box) for box in given], np.float64).reshape(-1, 4)
    moved, kept = boxes_after(plan.steps, edges, size)
    pairs: Any = zip(given, moved.tolist(), kept.tolist(), strict=True)
    return [with_edges(box, place) for box, place, is_kept in pairs if is_kept]


def _mask(transform: Transform, plan: Plan) -> bytes | None:
    if transform.mask is None:
        return None
    return write_mask(apply_to_mask(transform.mask, plan.steps, transform.parameters.mask_fill))


def _encoded(transform: Transform, raster: Raster) -> bytes:
    parameters = transform.parameters
    exif = exif_of(transform.photo, raster.width, raster.height) if "exif" in parameters.keep else b""
    return encode_raster(
        raster,
        transform.format,
        quality=parameters.quality,
        background=parameters.background,
        exif=exif,
    )
