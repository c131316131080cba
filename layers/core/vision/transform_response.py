"""Transformed pictures -> what goes over the wire: a picture, a zip archive or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import pybase64

from vision import replies
from vision.frozen import dataclass
from vision.replies import Json
from vision.request import Reply
from vision.transform import AS_IT_CAME, EXTENSIONS, Transform, Variant

Container = Literal["picture", "zip", "json"]

MAX_HEADER = 4096  # characters; API Gateway takes 10,240 bytes of headers in all
_PICTURES = {
    "image/jpeg": "JPEG",
    "image/jpg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/*": AS_IT_CAME,
    "*/*": AS_IT_CAME,
}
_CONTAINERS: dict[str, Container] = {
    "application/json": "json",
    "application/*": "json",
    "application/zip": "zip",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The form of an answer.

    Attributes:
        container: what pictures are sent in.
        formats: of pictures, best first: keys of `EXTENSIONS` or `AS_IT_CAME`; empty: as the photo came.
    """

    container: Container
    formats: tuple[str, ...] = ()


AS_JSON = Wanted("json")


def preferred(accept: str, *, is_picture: bool) -> Wanted:
    """What an `Accept` header likes best.

    Args:
        accept: the header; empty: there is none.
        is_picture: whether the answer can be one picture.

    """
    liked = [name for name in replies.accepted(accept) if name in _PICTURES or name in _CONTAINERS]
    formats = tuple(_PICTURES[name] for name in liked if name in _PICTURES)
    first: Container = _CONTAINERS.get(liked[0], "picture") if liked else "picture"
    if first == "picture" and not is_picture:
        first = next((_CONTAINERS[name] for name in liked if name in _CONTAINERS), "zip")
    return Wanted(first, formats)


def envelope(transform: Transform) -> dict[str, Json]:
    """What every answer but a picture begins with: the size of the upright photo, and the seed."""
    photo = transform.photo
    return {"image": {"width": photo.width, "height": photo.height}, "seed": transform.seed}


def described(variant: Variant, image: dict[str, Json], mask: Json) -> dict[str, Json]:
    """One variant as JSON.

    Args:
        variant: the result.
        image: where the picture is, or what it is.
        mask: the same of the mask; left out where there is none.
    """
    size = {"width": variant.width, "height": variant.height}
    return {
        "ops": variant.ops,
        "image": {**size, **image},
        **({} if variant.boxes is None else {"boxes": variant.boxes}),
        **({} if variant.mask is None else {"mask": mask}),
    }


def transform_reply(
    transform: Transform, variants: Iterator[Variant], container: Container
) -> tuple[Reply, str]:
    """The reply.

    Args:
        transform: what is done.
        variants: the results, asked for one by one; for a picture there is one.
        container: what they are sent in.

    Returns:
        The reply, and of a single picture what was done; empty else.
    """
    if container == "picture":
        variant = next(variants)
        headers = {"X-Transform-Seed": str(transform.seed)}
        if len(variant.ops) <= MAX_HEADER:
            headers["X-Transform-Ops"] = variant.ops
        return Reply(200, variant.data, transform.content_type, headers), variant.ops
    if container == "zip":
        from vision.archive import zip_archive  # noqa: PLC0415  # spent only by those who ask for it

        return Reply(200, zip_archive(_files(transform, variants)), "application/zip"), ""
    document = {**envelope(transform), "variants": [_inline(transform, each) for each in variants]}
    return replies.json_reply(document), ""


def _files(transform: Transform, variants: Iterable[Variant]) -> Iterator[tuple[str, bytes]]:
    documents = []
    for index, variant in enumerate(variants):
        name, mask_name = f"{index:03}.{EXTENSIONS[transform.format]}", f"{index:03}-mask.png"
        image = {"content_type": transform.content_type, "file": name}
        documents.append(described(variant, image, mask_name))
        yield name, variant.data
        if variant.mask is not None:
            yield mask_name, variant.mask
    manifest = {**envelope(transform), "variants": documents}
    yield "manifest.json", replies.to_json(manifest).encode()


def _inline(transform: Transform, variant: Variant) -> dict[str, Json]:
    data = pybase64.b64encode_as_string(variant.data)
    mask = pybase64.b64encode_as_string(variant.mask or b"")
    return described(variant, {"content_type": transform.content_type, "data": data}, mask)
