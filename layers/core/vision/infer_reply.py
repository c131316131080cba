"""What a model gave -> the answer to an infer request: JSON, and behind it what is wanted as bytes."""

from __future__ import annotations

from vision.card import ModelCard
from vision.coding import choose, pack, shrinks
from vision.errors import InvalidParameter, TooLarge
from vision.infer_body import HEADER_LENGTH
from vision.infer_request import InferRequest, Wanted
from vision.replies import Json, to_json
from vision.request import Reply
from vision.runner import Outputs
from vision.tensors import MIN_JSON_BYTES, Array, datatype
from vision.tensors import to_bytes as bytes_of
from vision.tensors import to_json as numbers_of

# A packed answer may be this many times as large before: what takes longer to write than to send is refused.
EXPANSION = 8
_MIN_PACKED = 1024  # bytes; fewer are sent as they are


def infer_reply(
    card: ModelCard, request: InferRequest, outputs: Outputs, accept_encoding: str, max_bytes: int
) -> Reply:
    """Gives the answer to a request.

    Args:
        card: of the model.
        request: what is wanted.
        outputs: what the model gave.
        accept_encoding: the caller's header.
        max_bytes: most bytes of the answer as it is sent.

    Raises:
        TooLarge: when it has more; of what is far above, before it is written.
        InvalidParameter: when an output that is wanted in JSON holds what JSON cannot tell.
    """
    coding = choose(accept_encoding)
    _check_size(request.outputs, outputs, max_bytes * (EXPANSION if coding else 1))
    written = [_written(wanted, outputs[wanted.name]) for wanted in request.outputs]
    head = {"model_name": card.id, "model_version": card.version}
    if request.id is not None:
        head["id"] = request.id
    # Lists of numbers are texts already: they are put into the JSON and not written again.
    document = f'{to_json(head)[:-1]},"outputs":[{",".join(text for text, _ in written)}]}}'.encode()
    binary = [data for _, data in written if data is not None]
    headers, content_type = {}, "application/json"
    body = document
    if binary:
        body = b"".join((document, *binary))
        content_type = "application/octet-stream"
        headers[HEADER_LENGTH] = str(len(document))
    if coding and (len(body) > max_bytes or (len(body) >= _MIN_PACKED and shrinks(body))):
        body = pack(body, coding)
        headers["Content-Encoding"] = coding
    if len(body) > max_bytes:
        raise _too_large(f"{len(body):,}", max_bytes)
    is_text = content_type == "application/json" and "Content-Encoding" not in headers
    return Reply(200, body.decode() if is_text else body, content_type, headers)


def _written(wanted: Wanted, array: Array) -> tuple[str, bytes | None]:
    """An output as JSON, and its bytes where they go behind the JSON."""
    tensor: dict[str, Json] = {
        "name": wanted.name,
        "datatype": datatype(array.dtype.name, wanted.name),
        "shape": list(array.shape),
    }
    if wanted.is_binary:
        data = bytes_of(array)
        return to_json({**tensor, "parameters": {"binary_data_size": len(data)}}), data
    return f'{to_json(tensor)[:-1]},"data":{_numbers(wanted.name, array)}}}', None


def _numbers(name: str, array: Array) -> str:
    try:
        return numbers_of(array)
    except ValueError as error:
        raise InvalidParameter(
            f"outputs: {name} holds numbers that are not finite, which JSON cannot tell; ask for binary_data",
            parameter="outputs",
        ) from error


def _check_size(wanted: tuple[Wanted, ...], outputs: Outputs, limit: int) -> None:
    """Refuses what is certain to be too large."""
    arrays = [(outputs[each.name], each.is_binary) for each in wanted]
    least = sum(array.nbytes if is_binary else array.size * MIN_JSON_BYTES for array, is_binary in arrays)
    if least > limit:
        raise _too_large(f"at least {least:,}", limit)


def _too_large(size: str, limit: int) -> TooLarge:
    return TooLarge(
        f"the answer has {size} bytes, the limit is {limit:,}; name fewer outputs, ask for binary_data, "
        "send fewer pictures at once, or take the answer packed (Accept-Encoding: gzip)"
    )
