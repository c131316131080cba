"""Who may call: every way of being known, every reason for being refused, and what is open to all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.fakes import FakeContext, http_event, sqs_event

from vision.edge import Edge
from vision.request import HttpCall, Reply
from vision.settings import Auth
from vision.telemetry import Stopwatch, instrumented, logger

KEY_CALLER = {"lambda": {"caller": "mobile"}}
TOKEN_CALLER = {"jwt": {"claims": {"sub": "user-7", "client_id": "app-1"}, "scopes": None}}
SIGNER = {"iam": {"userArn": "arn:aws:sts::111122223333:assumed-role/Backend/session-7"}}
CALLERS: dict[Auth, dict[str, Any]] = {"API_KEY": KEY_CALLER, "JWT": TOKEN_CALLER, "IAM": SIGNER}
ROUTES = [("POST", "/v1/classify"), ("GET", "/v1/models"), ("GET", "/v1/jobs/7"), ("POST", "/")]


def _ok(_call: HttpCall, _watch: Stopwatch) -> Reply:
    return Reply(200, "{}")


def _edge(auth: Auth) -> Edge:
    paths = [("GET", "/health"), ("GET", "/"), ("GET", "/openapi.json"), ("GET", "/v1/jobs/{id}")]
    return Edge({route: _ok for route in [*paths, *ROUTES[:2], ROUTES[3]]}, auth=auth)


def _answer(
    auth: Auth, authorizer: dict[str, Any] | None, method: str = "POST", path: str = "/v1/classify"
) -> dict[str, Any]:
    event = http_event(method, path)
    if authorizer is not None:
        event["requestContext"]["authorizer"] = authorizer
    answer: dict[str, Any] = _edge(auth)(event, FakeContext())
    return answer


@pytest.mark.parametrize("auth", CALLERS)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_known_caller_is_let_in_everywhere(auth: Auth, method: str, path: str) -> None:
    assert _answer(auth, CALLERS[auth], method, path)["statusCode"] == 200


@pytest.mark.parametrize("auth", CALLERS)
@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "authorizer",
    [
        None,
        {},
        {"lambda": {}},
        {"lambda": None},
        {"lambda": {"caller": ""}},
        {"jwt": {}},
        {"iam": {"userArn": ""}},
    ],
)
def test_without_an_authorizer_s_word_every_route_is_closed(
    auth: Auth, method: str, path: str, authorizer: dict[str, Any] | None
) -> None:
    answer = _answer(auth, authorizer, method, path)

    assert answer["statusCode"] == 401
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert answer["headers"]["WWW-Authenticate"]
    assert json.loads(answer["body"])["title"] == "Unauthorized"


@pytest.mark.parametrize("auth", CALLERS)
@pytest.mark.parametrize("other", CALLERS)
def test_who_is_known_in_another_way_is_not_known(auth: Auth, other: Auth) -> None:
    assert _answer(auth, CALLERS[other])["statusCode"] == (200 if auth == other else 401)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/health"), ("HEAD", "/health"), ("GET", "/openapi.json")]
)
def test_health_and_the_description_are_open(method: str, path: str) -> None:
    assert _answer("API_KEY", None, method, path)["statusCode"] == 200


def test_the_page_is_open_and_the_same_path_of_a_function_url_is_not() -> None:
    assert _answer("API_KEY", None, "GET", "/")["statusCode"] == 200
    assert _answer("API_KEY", None, "POST", "/")["statusCode"] == 401


@pytest.mark.parametrize("auth", [*CALLERS, "NONE"])
def test_a_browser_may_ask_beforehand_without_a_key(auth: Auth) -> None:
    answer = _answer(auth, {"lambda": {"denied": "missing"}}, "OPTIONS")

    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert answer["headers"]["Allow"] == "POST"


def test_an_unknown_path_and_a_wrong_method_need_no_key() -> None:
    assert _answer("API_KEY", None, "POST", "/v1/nothing")["statusCode"] == 404
    assert _answer("API_KEY", None, "GET", "/v1/classify")["statusCode"] == 405


@pytest.mark.parametrize(
    ("denied", "status", "said"),
    [
        ("missing", 401, "x-api-key"),
        ("unknown", 401, "revoked"),
        ("unavailable", 503, "try again"),
        ("throttled", 429, "per second"),
        ("a reason of tomorrow", 401, "x-api-key"),
    ],
)
@pytest.mark.parametrize("auth", ["API_KEY", "NONE"])
def test_what_the_authorizer_denies_is_a_problem_that_says_what_to_do(
    auth: Auth, denied: str, status: int, said: str
) -> None:
    answer = _answer(auth, {"lambda": {"denied": denied, "caller": "mobile"}})

    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["status"]) == (status, status)
    assert said in problem["detail"]
    assert answer["headers"].get("Retry-After") == ("1" if status == 429 else None)


@pytest.mark.parametrize(
    ("said", "may"),
    [({}, True), ({"batches": True}, True), ({"batches": False}, False), ({"batches": "true"}, False)],
)
def test_only_what_the_authorizer_leaves_out_or_allows_is_allowed(said: dict[str, Any], may: bool) -> None:
    event = http_event()
    event["requestContext"]["authorizer"] = {"lambda": {"caller": "mobile", **said}}
    seen: list[bool] = []

    def note(call: HttpCall, _watch: Stopwatch) -> Reply:
        seen.append(call.identity.may_start_batches)
        return Reply(200, "{}")

    Edge({("POST", "/v1/classify"): note}, auth="API_KEY")(event, FakeContext())

    assert seen == [may]


def test_hugging_face_clients_find_the_reason_under_error() -> None:
    event = http_event("POST", "/hf/image-classification")
    edge = Edge({("POST", "/hf/image-classification"): _ok}, auth="API_KEY")

    problem = json.loads(edge(event, FakeContext())["body"])

    assert "Bearer" in problem["error"]


def test_a_refused_call_is_refused_before_its_body_is_read() -> None:
    event = http_event(body="not base64") | {"isBase64Encoded": True}

    assert _edge("API_KEY")(event, FakeContext())["statusCode"] == 401


def test_what_comes_from_queues_and_plain_invocations_is_iam_s_to_judge() -> None:
    handled: list[Any] = []
    edge = Edge(
        {},
        auth="API_KEY",
        on_upload=lambda upload, _context: handled.append(upload),
        on_plain=lambda document, _context: document,
    )

    assert edge({"image": ""}, FakeContext()) == {"image": ""}
    assert edge(sqs_event("no upload"), FakeContext()) is not None


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.parametrize(
    ("authorizer", "caller", "client"),
    [
        (KEY_CALLER, "mobile", "mobile"),
        (TOKEN_CALLER, "app-1", "app-1"),
        ({"jwt": {"claims": {"sub": "user-7"}}}, "user-7", None),
        (SIGNER, SIGNER["iam"]["userArn"], "arn:aws:sts::111122223333:assumed-role/Backend"),
        ({"iam": {"userArn": "arn:aws:iam::1:user/a"}}, "arn:aws:iam::1:user/a", "arn:aws:iam::1:user/a"),
    ],
)
def test_logs_name_the_caller_and_metrics_count_its_client(
    authorizer: dict[str, Any], caller: str, client: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    event = http_event()
    event["requestContext"]["authorizer"] = authorizer
    (kind,) = authorizer
    auths: dict[str, Auth] = {"lambda": "API_KEY", "jwt": "JWT", "iam": "IAM"}

    instrumented(_edge(auths[kind]))(event, FakeContext())

    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "Requests" in line]
    assert logger.get_current_keys()["caller"] == caller
    assert [each["caller"] for each in metrics] == ([client] if client else [])


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_a_caller_is_not_taken_for_the_next_one() -> None:
    handler = instrumented(_edge("NONE"))
    known = http_event()
    known["requestContext"]["authorizer"] = KEY_CALLER

    handler(known, FakeContext())
    handler(http_event(), FakeContext())

    assert "caller" not in logger.get_current_keys()
