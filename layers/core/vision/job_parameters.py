"""The parameters of jobs and batches, checked before one is made; what only the task can know shows later."""

from __future__ import annotations

import json
from collections.abc import Mapping

from vision.errors import InvalidParameter
from vision.params import read_values

_MAX_BYTES = 200_000  # a row of the jobs table has at most 400 KB


def check_parameters(task: str, given: object) -> dict[str, object]:
    """Gives the parameters of a job or batch as they were sent.

    Args:
        task: one of `JOB_TASKS`.
        given: the member `parameters`; `None`: there is none.

    Raises:
        InvalidParameter: naming the parameter that is unknown, malformed or out of range, or `parameters`.
    """
    parameters = {} if given is None else given
    if not isinstance(parameters, dict):
        raise InvalidParameter("parameters: must be an object", parameter="parameters")
    _check(task, parameters)
    num_bytes = len(json.dumps(parameters))
    if num_bytes > _MAX_BYTES:
        raise InvalidParameter(
            f"parameters: have {num_bytes:,} bytes as JSON, the limit is {_MAX_BYTES:,}",
            parameter="parameters",
        )
    return parameters


def _check(task: str, parameters: Mapping[str, object]) -> None:
    if task != "transform":
        read_values(task, parameters)
        return
    # The grammar of operations, spent only by those who ask for one.
    from vision.transform_parameters import read_transform_parameters  # noqa: PLC0415

    read_transform_parameters(parameters)
