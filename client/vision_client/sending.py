"""What an operation asks of its driver, and the tries that one request is given: no input or output here.

An operation is a generator. It yields a `Call` and is sent the response, or the NetworkError that came in its
place; it yields a `Pause` and is sent nothing, later; what it returns is the answer. `client.py` drives it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import httpx

from vision_client.errors import NetworkError, problem_of

INLINE_LIMIT = 4_500_000  # bytes: what the service takes in a request unless it is told otherwise
_PASSING = frozenset({429, 502, 503, 504})  # what another try may mend


@dataclass(frozen=True, slots=True)
class Upload:
    """The file of a form.

    Attributes:
        fields: of the form, which go before the file.
        name: of the file.
        content_type: of the file.
        data: its bytes.
        on_sent: called with the number of bytes that have been sent.
    """

    fields: Mapping[str, str]
    name: str
    content_type: str
    data: bytes = field(repr=False)
    on_sent: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request.

    Attributes:
        method: of HTTP.
        url: a path of the service, or a whole address that needs no key.
        query: the parameters in the address.
        headers: beside the key's.
        content: the body.
        upload: the form that is the body instead.
    """

    method: str
    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    upload: Upload | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Some seconds in which nothing is asked."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Retry:
    """A request that will be tried again.

    Attributes:
        reason: why the last try did not do.
        attempt: how many tries there were.
        wait_s: seconds until the next.
        waited_s: seconds since the first did not do.
    """

    reason: str
    attempt: int
    wait_s: float
    waited_s: float


@dataclass(frozen=True, slots=True)
class Retries:
    """When a request is tried again: no connection or answer, and the statuses 429, 502, 503 and 504.

    Attributes:
        patience_s: for how long, since the first try that did not do; 0: never.
        first_s: the longest pause before the second try; it doubles with each one.
        longest_s: the longest pause of all; `Retry-After` goes before it.
        on_retry: called before each pause.
    """

    patience_s: float = 30
    first_s: float = 0.25
    longest_s: float = 8
    on_retry: Callable[[Retry], None] | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What operations have in common.

    Attributes:
        retries: of each request.
        inline_limit: bytes of the largest image that is sent in a request; larger ones go through a job.
        clock: seconds, always rising.
        draw: a number of 0..1, for jitter.
    """

    retries: Retries = Retries()
    inline_limit: int = INLINE_LIMIT
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = random.random


_T = TypeVar("_T")
Step: TypeAlias = Call | Pause
Outcome: TypeAlias = httpx.Response | NetworkError | None
Operation: TypeAlias = Generator[Step, Outcome, _T]


def sent(options: Options, call: Call) -> Operation[httpx.Response]:
    """Gives the response to a call, after as many tries as it takes.

    Raises:
        NetworkError: none came, not in the last try either.
        ProblemError: its status is 400 or above.
    """
    retries, failed_at, attempt = options.retries, None, 0
    while True:
        outcome = yield call
        attempt += 1
        if outcome is None or (isinstance(outcome, httpx.Response) and outcome.status_code not in _PASSING):
            break
        now = options.clock()
        failed_at = now if failed_at is None else failed_at
        wait_s = _pause(options, outcome, attempt)
        if now + wait_s > failed_at + retries.patience_s:
            break
        if retries.on_retry:
            retries.on_retry(Retry(_reason(outcome), attempt, wait_s, now - failed_at))
        yield Pause(wait_s)
    if isinstance(outcome, NetworkError):
        raise outcome
    if outcome is None:
        raise TypeError("the driver gave nothing for a call")
    if outcome.status_code >= 400:
        raise problem_of(outcome)
    return outcome


def _pause(options: Options, outcome: httpx.Response | NetworkError, attempt: int) -> float:
    # Half of it drawn, so that clients which failed together do not come back together.
    longest = min(options.retries.longest_s, options.retries.first_s * 2.0 ** min(attempt - 1, 30))
    pause = longest * (0.5 + options.draw() / 2)
    if isinstance(outcome, NetworkError):
        return pause
    asked = outcome.headers.get("retry-after", "")
    return max(pause, float(asked)) if asked.isdecimal() else pause


def _reason(outcome: httpx.Response | NetworkError) -> str:
    return str(outcome) if isinstance(outcome, NetworkError) else str(problem_of(outcome))
