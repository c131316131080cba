"""The statuses of the contract, and what they mean for a queue."""

from __future__ import annotations

import pytest

from vision import errors


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.BadRequest, 400),
        (errors.InvalidParameter, 400),
        (errors.InvalidImage, 400),
        (errors.Forbidden, 403),
        (errors.NotFound, 404),
        (errors.TooLarge, 413),
        (errors.UnsupportedFormat, 415),
        (errors.VisionError, 500),
        (errors.InvalidModel, 500),
        (errors.InvalidSettings, 500),
        (errors.Unavailable, 503),
    ],
)
def test_each_error_has_the_status_of_the_contract(kind: type[errors.VisionError], status: int) -> None:
    error = kind("why")

    assert error.status == status
    assert error.is_retryable == (status >= 500)


def test_a_wrong_method_names_the_right_ones() -> None:
    error = errors.MethodNotAllowed("no", allowed=("GET", "POST"))

    assert (error.status, error.allowed) == (405, ("GET", "POST"))


def test_every_kind_of_error_can_be_told_from_the_others_by_its_problem_type() -> None:
    def below(kind: type[errors.VisionError]) -> list[type[errors.VisionError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    kinds = [each.kind for each in below(errors.VisionError)]

    assert len(kinds) == len(set(kinds))
