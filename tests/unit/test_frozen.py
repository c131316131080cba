"""Value classes: what the library's own decorator makes, held against the standard one."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, ClassVar

import pytest

from vision import frozen
from vision.request import S3Object


def _point(decorator: Any, **options: Any) -> Any:
    class Point:
        """A point."""

        x: int
        y: int = 2
        names: tuple[str, ...] = dataclasses.field(default_factory=tuple, repr=False)

        @property
        def total(self) -> int:
            return self.x + self.y

    return decorator(frozen=True, slots=True, **options)(Point)


OURS, STANDARD = _point(frozen.dataclass), _point(dataclasses.dataclass)
ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, 3), {"names": ("a",)}),
    ((), {"x": 1, "y": 5}),
    ((1, 2, ("b",)), {}),
]


@pytest.mark.parametrize(("values", "named"), ARGUMENTS)
def test_an_object_is_as_the_standard_decorator_makes_it(
    values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    ours, standard = OURS(*values, **named), STANDARD(*values, **named)

    assert repr(ours).rpartition(".")[2] == repr(standard).rpartition(".")[2]
    assert (ours.x, ours.y, ours.names, ours.total) == (
        standard.x,
        standard.y,
        standard.names,
        standard.total,
    )
    assert dataclasses.asdict(ours) == dataclasses.asdict(standard)
    assert hash(ours) == hash(OURS(*values, **named))
    assert ours == OURS(*values, **named) != dataclasses.replace(ours, x=9)
    assert ours != standard


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, 2, (), 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})],
)
def test_what_the_standard_decorator_refuses_is_refused(
    values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    for kind in (OURS, STANDARD):
        with pytest.raises(TypeError):
            kind(*values, **named)


def test_an_object_cannot_be_changed_and_has_no_other_attributes() -> None:
    point = OURS(1)

    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    assert not hasattr(point, "__dict__")
    assert [each.name for each in dataclasses.fields(point)] == ["x", "y", "names"]


def test_objects_without_equality_are_equal_to_themselves_alone() -> None:
    kind = _point(frozen.dataclass, eq=False)
    point = kind(1)

    assert point == point  # noqa: PLR0124  # that is the question
    assert point != kind(1)
    assert len({point, kind(1)}) == 2


def test_an_object_can_be_copied_and_sent() -> None:
    place = S3Object("bucket", "key", etag="1")

    assert copy.copy(place) == place
    assert pickle.loads(pickle.dumps(place)) == place


@pytest.mark.parametrize(
    "unserved", [dataclasses.field(init=False), dataclasses.field(compare=False)], ids=["init", "compare"]
)
def test_what_the_shared_functions_would_pass_over_is_refused(unserved: Any) -> None:
    with pytest.raises(TypeError, match="not served"):
        frozen.dataclass(frozen=True, slots=True)(
            type("Odd", (), {"__annotations__": {"x": int}, "x": unserved})
        )


def test_a_class_variable_is_refused() -> None:
    with pytest.raises(TypeError, match="not served"):
        frozen.dataclass(frozen=True, slots=True)(
            type("Odd", (), {"__annotations__": {"x": ClassVar[int]}, "x": 1})
        )
