"""The authorizer: the headers of a call -> the name of its caller, or why it has none.

It lets every call through and says in the context what it found; the function refuses (`access.py`). An
authorizer that refuses has no say in the answer: API Gateway's own 401 and 403 are not problem documents.
It starts before every first call, so it imports only the standard library and, for the secret, botocore.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from vision.errors import Unavailable
from vision.events import Event, read_headers
from vision.keys import Key, KeyRing
from vision.request import Denial
from vision.secret import read_secret
from vision.settings import read_settings


def build_authorizer() -> Callable[[Event, Any], Event]:
    """The handler of the authorizer function, with the keys read."""
    settings = read_settings(os.environ)
    # Not the monotonic clock: it may stand still while Lambda freezes the function between two calls, and a
    # revoked key would be good for as long.
    keys = KeyRing(lambda: read_secret(settings.keys_secret), time.time, refresh_s=settings.keys_refresh_s)
    keys.refresh()  # while the function starts: then Lambda gives a whole CPU
    authorizer = Authorizer(keys, time.time, is_cached=settings.authorizer_cache_s > 0)
    return lambda event, _context: authorizer.answer(event)


class Authorizer:
    """Answers API Gateway's question who calls, in the simple format of payload 2.0.

    Args:
        keys: of the callers.
        clock: gives seconds.
        is_cached: whether API Gateway keeps the answers, so that none may be of this moment only: rates are
            not kept then.
    """

    def __init__(self, keys: KeyRing, clock: Callable[[], float], *, is_cached: bool = False) -> None:
        self._keys = keys
        self._clock = clock
        self._is_cached = is_cached
        self._buckets: dict[str, Bucket] = {}

    def answer(self, event: Event) -> Event:
        """Lets the call through with the name of its caller, or with what denies it, or with both.

        Raises:
            Unavailable: when the answer would be kept and nobody can say who calls: API Gateway answers 500
                then, and asks again for the next call.
        """
        key, denied = self._identify(read_headers(event))
        context: dict[str, str | bool] = {}
        if key is not None:
            context["caller"] = key.caller
            if not key.may_start_batches:
                context["batches"] = False
        if denied:
            context["denied"] = denied
        return {"isAuthorized": True, "context": context}

    def _identify(self, headers: Mapping[str, str]) -> tuple[Key | None, Denial]:
        secret_key = _key_in(headers)
        if not secret_key:
            return None, "missing"
        try:
            key = self._keys.find(secret_key)
        except Unavailable:
            if self._is_cached:
                raise
            return None, "unavailable"
        if key is None:
            return None, "unknown"
        is_in_time = self._is_cached or self._bucket(key).take(self._clock())
        return key, "" if is_in_time else "throttled"

    def _bucket(self, key: Key) -> Bucket:
        bucket = self._buckets.get(key.caller)
        if bucket is None or bucket.rate != key.requests_per_second:
            bucket = self._buckets[key.caller] = Bucket(key.requests_per_second, self._clock())
        return bucket


class Bucket:
    """A token bucket: `rate` calls a second, and as many at once as a second brings, at least one.

    It counts the calls of one execution environment. Lambda runs as many of them as there are calls at the
    same moment, and each takes milliseconds: it is one or two until hundreds of calls arrive a second.
    """

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._tokens = self._capacity = max(1.0, rate)
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Takes one call out, if there is one."""
        if math.isinf(self.rate):
            return True
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._filled_at) * self.rate)
        self._filled_at = now
        if self._tokens < 1 - 1e-6:  # ten additions of 0.1 are a little less than one
            return False
        self._tokens -= 1
        return True


def _key_in(headers: Mapping[str, str]) -> str:
    """The key of a call: `x-api-key`, or what Hugging Face's and OpenAI's clients send, a bearer token."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
