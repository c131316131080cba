"""What a function does about memory before its first event."""

from __future__ import annotations

import functools
import gc
import resource
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_MAPPED_MB = 120
_Arguments = ParamSpec("_Arguments")
_Built = TypeVar("_Built")


def without_collections(build: Callable[_Arguments, _Built]) -> Callable[_Arguments, _Built]:
    """Lets no garbage be collected while modules are imported, which takes a tenth longer with it.

    What is there by then stays: later collections need not walk through it.
    """

    @functools.wraps(build)
    def built(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Built:
        gc.disable()
        try:
            return build(*arguments, **options)
        finally:
            gc.enable()
            gc.freeze()

    return built


def bound_memory(memory_mb: int) -> None:
    """Lets an allocation fail where Lambda would kill the process, and with it whoever waits for an answer.

    Some formats take more memory than their header tells of: an AVIF frame may be larger than its picture.
    """
    if memory_mb:
        # What Lambda counts and this limit does not, libraries mapped from files, takes about 100 MB.
        limit = (memory_mb - _MAPPED_MB) * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
