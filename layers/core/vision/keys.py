"""The keys of the callers: read from the secret, kept for a while, compared in constant time.

The secret is a JSON object by caller. A caller has a key, a list of keys (while one replaces another), or an
object: `{"keys": [...], "requests_per_second": 5, "batches": false}`. A key is written as it is, of 20
characters or more, or as `sha256:` and the 64 hex digits of its SHA-256. A hash without salt is enough: keys
are random.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vision.errors import InvalidSettings, Unavailable, VisionError

MIN_KEY_LENGTH = 20
REFRESH_S = 60  # a revoked key works no longer than this
RETRY_S = 5  # an unknown key makes the secret be read again, but not sooner than this after the last time
AFTER_FAILURE_S = 15  # nor sooner than this after it could not be read, for that takes seconds
GRACE_S = 900  # how long the last keys are good while the secret cannot be read

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")

# Not the logger of telemetry.py: the authorizer has no third-party packages.
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a caller.

    Attributes:
        caller: the caller's name.
        digest: SHA-256 of the key, 32 bytes.
        requests_per_second: what the caller may ask, with all its keys together; infinite unless given.
        may_start_batches: whether the caller may start batches.
    """

    caller: str
    digest: bytes
    requests_per_second: float = math.inf
    may_start_batches: bool = True


class KeyRing:
    """The keys as they are in the secret, or were a moment ago.

    Args:
        fetch: gives the secret's text; raises `Unavailable` when it cannot be had.
        clock: gives seconds, also those in which the process was frozen.
        refresh_s: age in seconds at which the keys are read again.
    """

    def __init__(
        self, fetch: Callable[[], str], clock: Callable[[], float], *, refresh_s: float = REFRESH_S
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._refresh_s = refresh_s
        self._keys: tuple[Key, ...] = ()
        self._read_at = self._tried_at = -math.inf
        self._pause_s: float = 0

    def find(self, secret_key: str) -> Key | None:
        """Gives the key of a caller, or none; a key that was added a moment ago is found too.

        Raises:
            Unavailable: when nobody can say, because the secret could not be read.
        """
        if self._age_s >= self._refresh_s:
            self.refresh()
        found = match(secret_key, self._keys)
        if found is None:
            self.refresh()
            found = match(secret_key, self._keys)
        # What is not among keys of yesterday may be among today's.
        if self._age_s >= GRACE_S or (found is None and self._age_s >= self._refresh_s):
            raise Unavailable("the keys could not be read")
        return found

    @property
    def _age_s(self) -> float:
        return abs(self._clock() - self._read_at)  # a clock that was set back makes keys old, not young

    def refresh(self) -> None:
        """Reads the keys, unless that was tried a moment ago; the old ones stay where that fails."""
        now = self._clock()
        if abs(now - self._tried_at) < self._pause_s:
            return
        try:
            self._keys = read_keys(self._fetch())
        except VisionError as error:
            logger.error("the keys could not be read: %s", error.detail)
            self._tried_at, self._pause_s = self._clock(), AFTER_FAILURE_S
        else:
            self._read_at = self._tried_at = now
            self._pause_s = min(RETRY_S, self._refresh_s)


def match(secret_key: str, keys: tuple[Key, ...]) -> Key | None:
    """Finds a key; takes as long whichever it is, and whether it is one at all.

    Every digest is compared, in constant time, and nothing of the keys themselves is: what time there is to
    measure tells about SHA-256 sums that nobody can choose.
    """
    digest = digest_of(secret_key)
    found = None
    for key in keys:
        is_same = hmac.compare_digest(digest, key.digest)
        found = key if is_same else found
    return found


def digest_of(secret_key: str) -> bytes:
    """SHA-256 of a key, 32 bytes."""
    return hashlib.sha256(secret_key.encode("utf-8", "surrogatepass")).digest()


def read_keys(text: str) -> tuple[Key, ...]:
    """Reads the secret; a caller whose entry is at fault is left out, and named in the log.

    Raises:
        InvalidSettings: when it is not a JSON object. The detail holds nothing of the text.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidSettings("the secret with the keys is not a JSON object")
    keys: list[Key] = []
    for caller, entry in document.items():
        try:
            keys += _keys_of(caller, entry)
        except ValueError as error:
            logger.error("caller %.64r is left out: %s", caller, error)
    return tuple(keys)


def is_name(text: str) -> bool:
    """Whether a text may be a caller's name, which logs and metrics carry."""
    return _NAME.fullmatch(text) is not None


def _keys_of(caller: str, entry: Any) -> list[Key]:
    if not is_name(caller):
        raise ValueError("a name has 1 to 64 letters, digits, or . _ @ -")
    fields: Mapping[str, Any] = entry if isinstance(entry, dict) else {"keys": entry}
    if unknown := fields.keys() - {"keys", "requests_per_second", "batches"}:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    rate = fields.get("requests_per_second", math.inf)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0:
        raise ValueError("requests_per_second must be a positive number")
    may_start_batches = fields.get("batches", True)
    if not isinstance(may_start_batches, bool):
        raise ValueError("batches must be true or false")
    given = fields.get("keys")
    texts = given if isinstance(given, list) else [given]
    return [Key(caller, _digest(text), float(rate), may_start_batches) for text in texts]


def _digest(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) < MIN_KEY_LENGTH:
        raise ValueError(f"a key is a text of at least {MIN_KEY_LENGTH} characters")
    if found := _DIGEST.fullmatch(text):
        return bytes.fromhex(found[1])
    if text.startswith("sha256:"):
        raise ValueError("after sha256: come 64 hex digits in lower case")
    return digest_of(text)
