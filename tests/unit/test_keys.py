"""The keys of the callers: what the secret may hold, how long it is believed, and what comparing tells."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from typing import Any

import pytest

from vision.errors import InvalidSettings, Unavailable
from vision.keys import AFTER_FAILURE_S, GRACE_S, REFRESH_S, RETRY_S, KeyRing, digest_of, match, read_keys

FIRST, SECOND, THIRD = (letter * 40 for letter in "abc")


class FakeSecret:
    """A secret that can be changed and can fail, and a clock."""

    def __init__(self, document: Any) -> None:
        self.text = document if isinstance(document, str) else json.dumps(document)
        self.is_down = False
        self.now = 1000.0
        self.num_reads = 0

    def put(self, document: Any) -> None:
        self.text = json.dumps(document)

    def read(self) -> str:
        self.num_reads += 1
        if self.is_down:
            raise Unavailable("Secrets Manager did not answer")
        return self.text

    def ring(self) -> KeyRing:
        return KeyRing(self.read, lambda: self.now)


def _caller(ring: KeyRing, key: str) -> str | None:
    found = ring.find(key)
    return found.caller if found else None


class TestSecret:
    def test_a_key_is_text_or_its_sha_256(self) -> None:
        hexadecimal = hashlib.sha256(SECOND.encode()).hexdigest()  # what `sha256sum` prints

        keys = read_keys(json.dumps({"web": FIRST, "mobile": f"sha256:{hexadecimal}"}))

        assert [key.caller for key in keys] == ["web", "mobile"]
        assert [match(key, keys) for key in (FIRST, SECOND, THIRD)] == [*keys, None]

    def test_a_caller_has_several_keys_while_one_replaces_another(self) -> None:
        keys = read_keys(json.dumps({"web": [FIRST, SECOND]}))

        assert {key.caller for key in keys} == {"web"}
        assert match(FIRST, keys)
        assert match(SECOND, keys)

    def test_a_caller_may_have_a_rate(self) -> None:
        (key,) = read_keys(json.dumps({"web": {"keys": [FIRST], "requests_per_second": 2.5}}))

        assert key.requests_per_second == 2.5

    @pytest.mark.parametrize(
        ("field", "may"), [({}, True), ({"batches": True}, True), ({"batches": False}, False)]
    )
    def test_a_caller_may_start_batches_unless_its_entry_says_no(
        self, field: dict[str, bool], may: bool
    ) -> None:
        keys = read_keys(json.dumps({"web": {"keys": [FIRST, SECOND], **field}}))

        assert [key.may_start_batches for key in keys] == [may, may]

    @pytest.mark.parametrize(
        "entry",
        [
            "short",
            "",
            None,
            7,
            True,
            [FIRST, "short"],
            {"key": FIRST},
            {"keys": [FIRST], "requests_per_second": 0},
            {"keys": [FIRST], "requests_per_second": True},
            {"keys": [FIRST], "requests_per_second": "5"},
            {"keys": [FIRST], "batches": "false"},
            {"keys": [FIRST], "batches": None},
            "sha256:" + "A" * 64,
            "sha256:" + "0" * 63,
        ],
    )
    def test_an_entry_at_fault_costs_no_other_caller_his_key(
        self, entry: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        keys = read_keys(json.dumps({"broken": entry, "web": SECOND}))

        assert [key.caller for key in keys] == ["web"]
        assert "'broken' is left out" in caplog.text
        assert FIRST not in caplog.text

    @pytest.mark.parametrize("name", ["", "a b", "a" * 65, "a\n", ".a", "{}"])
    def test_a_name_that_would_not_do_in_a_log_or_metric_is_left_out(self, name: str) -> None:
        assert read_keys(json.dumps({name: FIRST})) == ()

    @pytest.mark.parametrize(
        "text", ["", "no JSON", json.dumps([FIRST]), json.dumps(FIRST), "null", "[" * 10**6]
    )
    def test_a_secret_that_is_no_object_is_an_error_that_does_not_repeat_it(self, text: str) -> None:
        with pytest.raises(InvalidSettings) as caught:
            read_keys(text)

        assert FIRST not in str(caught.value)


class TestComparison:
    def test_every_key_is_compared_in_constant_time_wherever_the_right_one_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = read_keys(json.dumps({f"caller-{number}": f"{number:040}" for number in range(50)}))
        calls: list[tuple[bytes, bytes]] = []
        compare = hmac.compare_digest

        def count(a: bytes, b: bytes) -> bool:
            calls.append((a, b))
            return compare(a, b)

        monkeypatch.setattr("vision.keys.hmac.compare_digest", count)
        counts = []
        for given in (f"{0:040}", f"{25:040}", f"{49:040}", "unknown"):
            calls.clear()
            match(given, keys)
            counts.append(len(calls))
            assert {len(digest) for pair in calls for digest in pair} == {32}
            assert {first for first, _ in calls} == {hashlib.sha256(given.encode()).digest()}

        assert counts == [50, 50, 50, 50]

    def test_a_key_is_compared_whole(self) -> None:
        keys = read_keys(json.dumps({"web": FIRST}))

        assert match(FIRST, keys)
        for other in (FIRST[:-1], FIRST + "a", FIRST.upper(), " " + FIRST, "", "\ud800"):
            assert match(other, keys) is None

    def test_the_digest_of_a_key_in_the_secret_is_no_key(self) -> None:
        keys = read_keys(json.dumps({"web": FIRST}))

        assert match(f"sha256:{digest_of(FIRST).hex()}", keys) is None


class TestRotation:
    def test_a_known_key_is_found_without_reading_the_secret_again(self) -> None:
        secret = FakeSecret({"web": FIRST})
        ring = secret.ring()

        assert [_caller(ring, FIRST) for _ in range(100)] == ["web"] * 100
        assert secret.num_reads == 1

    def test_a_new_key_works_at_once(self) -> None:
        secret = FakeSecret({"web": FIRST})
        ring = secret.ring()
        ring.find(FIRST)
        secret.now += RETRY_S
        secret.put({"web": [FIRST, SECOND]})

        assert _caller(ring, SECOND) == "web"

    def test_wrong_keys_read_the_secret_no_oftener_than_every_few_seconds(self) -> None:
        secret = FakeSecret({"web": FIRST})
        ring = secret.ring()

        for tenth in range(600):  # a minute of ten wrong keys a second
            secret.now = 1000 + tenth / 10
            assert ring.find(f"wrong-{tenth}") is None

        assert secret.num_reads <= 60 / RETRY_S + 1

    def test_a_revoked_key_works_no_longer_than_stated(self) -> None:
        secret = FakeSecret({"web": FIRST, "old": SECOND})
        ring = secret.ring()
        assert _caller(ring, SECOND) == "old"
        secret.put({"web": FIRST})

        secret.now += REFRESH_S

        assert ring.find(SECOND) is None
        assert _caller(ring, FIRST) == "web"

    def test_a_clock_that_is_set_back_makes_the_keys_old(self) -> None:
        secret = FakeSecret({"web": FIRST})
        ring = secret.ring()
        assert _caller(ring, FIRST) == "web"
        secret.put({})

        secret.now -= 3600

        assert ring.find(FIRST) is None

    def test_both_keys_work_while_one_replaces_the_other(self) -> None:
        secret = FakeSecret({"web": FIRST})
        ring = secret.ring()
        for document, works in (
            ({"web": FIRST}, {FIRST}),
            ({"web": [FIRST, SECOND]}, {FIRST, SECOND}),
            ({"web": SECOND}, {SECOND}),
        ):
            secret.put(document)
            secret.now += REFRESH_S
            assert {key for key in (FIRST, SECOND) if ring.find(key)} == works


class TestOutage:
    def test_known_keys_keep_working_for_a_while(self, caplog: pytest.LogCaptureFixture) -> None:
        secret = FakeSecret({"web": FIRST})
        ring = secret.ring()
        ring.find(FIRST)
        secret.is_down = True

        secret.now += GRACE_S - 1

        assert _caller(ring, FIRST) == "web"
        assert "did not answer" in caplog.text

    def test_then_nobody_is_let_in_until_it_answers(self) -> None:
        secret = FakeSecret({"web": FIRST})
        ring = secret.ring()
        ring.find(FIRST)
        secret.is_down = True
        secret.now += GRACE_S
        with pytest.raises(Unavailable):
            ring.find(FIRST)

        secret.is_down = False
        secret.now += AFTER_FAILURE_S

        assert _caller(ring, FIRST) == "web"

    def test_an_unknown_key_cannot_be_judged_by_old_keys(self) -> None:
        secret = FakeSecret({"web": FIRST})
        ring = secret.ring()
        ring.find(FIRST)
        secret.is_down = True
        secret.now += REFRESH_S

        with pytest.raises(Unavailable):
            ring.find(SECOND)

    def test_it_is_not_asked_at_every_call(self) -> None:
        secret = FakeSecret({})
        secret.is_down = True
        ring = secret.ring()

        for _ in range(100):
            with pytest.raises(Unavailable):
                ring.find(FIRST)

        assert secret.num_reads == 1

    @pytest.mark.parametrize("text", ["", "{", "[]"])
    def test_a_secret_that_was_spoilt_is_an_outage_and_not_a_service_without_keys(
        self, text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = FakeSecret({"web": FIRST})
        ring = secret.ring()
        ring.find(FIRST)
        secret.text = text
        secret.now += REFRESH_S

        with caplog.at_level(logging.ERROR):
            assert _caller(ring, FIRST) == "web"

        assert "not a JSON object" in caplog.text

    def test_an_empty_secret_lets_nobody_in(self) -> None:
        ring = FakeSecret({}).ring()

        assert ring.find(FIRST) is None
