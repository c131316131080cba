"""The authorizers of the local HTTP API: tokens of a real issuer, signatures by curl, the function's word."""

from __future__ import annotations

import base64
import hmac
import io
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from waitress.server import create_server

from local.authorization import authorizers, first_key
from local.clients import Clients
from local.environment import HandlerFailed
from local.gateway import Gateway
from local.http_events import Router
from local.log import Log
from local.stack import Stack, deploy
from local.template import read_template
from vision.errors import InvalidSettings

AUDIENCE = "vision-clients"
ORIGIN = "https://app.example.com"
Invoke = Callable[[str, Any], Any]


def _stack(clients: Clients, **parameters: str) -> Stack:
    for stack in clients.cloudformation.describe_stacks()["Stacks"]:
        clients.cloudformation.delete_stack(StackName=stack["StackName"])
    for secret in clients.secretsmanager.list_secrets()["SecretList"]:
        clients.secretsmanager.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)
    return deploy(read_template(parameters=parameters), clients)


def _echo(_function: str, event: Any) -> Any:
    return {"statusCode": 200, "body": json.dumps(event["requestContext"].get("authorizer"))}


def _call(
    stack: Stack,
    invoke: Invoke,
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    path: str = "/v1/models",
) -> tuple[int, dict[str, str], Any]:
    cors = stack.resolved["HttpApi"].get("CorsConfiguration")
    gateway = Gateway(Router(stack.routes), invoke, Log(as_json=True), authorizers(stack, invoke), cors=cors)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_PORT": "3000",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b""),
        **{f"HTTP_{name.upper().replace('-', '_')}": text for name, text in (headers or {}).items()},
    }
    started: list[tuple[str, dict[str, str]]] = []
    body = b"".join(gateway(environ, lambda status, headers, *_: started.append((status, dict(headers)))))  # type: ignore[arg-type]  # no write()
    (line, answered) = started[0]
    return int(line.split()[0]), answered, json.loads(body) if body else None


class TestKeys:
    def test_the_function_is_asked_as_api_gateway_asks_and_its_word_reaches_the_other(
        self, keyed: Stack
    ) -> None:
        asked: list[dict[str, Any]] = []

        def invoke(function: str, event: Any) -> Any:
            if function != "AuthorizerFunction":
                return _echo(function, event)
            asked.append(event)
            return {"isAuthorized": True, "context": {"caller": "mobile"}}

        status, _, found = _call(keyed, invoke, {"x-api-key": "k"})

        assert (status, found) == (200, {"lambda": {"caller": "mobile"}})
        (event,) = asked
        assert event.keys() == {
            *("version", "type", "routeArn", "identitySource", "routeKey", "rawPath", "rawQueryString"),
            *("headers", "requestContext"),
        }
        assert (event["version"], event["type"], event["routeKey"]) == ("2.0", "REQUEST", "ANY /v1/models")
        assert event["headers"]["x-api-key"] == "k"

    @pytest.mark.parametrize(
        ("answer", "status"),
        [({"isAuthorized": False}, 403), ({}, 500), (None, 500), ({"isAuthorized": "true"}, 500)],
    )
    def test_what_it_does_not_let_through_reaches_no_other(
        self, keyed: Stack, answer: Any, status: int
    ) -> None:
        functions: list[str] = []

        def invoke(function: str, _event: Any) -> Any:
            functions.append(function)
            return answer

        assert _call(keyed, invoke)[0] == status
        assert functions == ["AuthorizerFunction"]

    def test_where_it_fails_nobody_is_let_in(self, keyed: Stack) -> None:
        def invoke(_function: str, _event: Any) -> Any:
            raise HandlerFailed("ValueError")

        assert _call(keyed, invoke)[0] == 500

    def test_health_and_unknown_paths_ask_nobody(self, keyed: Stack) -> None:
        for path in ("/health", "/nothing"):
            assert _call(keyed, _echo, path=path)[2] is None

    def test_with_a_cache_api_gateway_itself_wants_the_header(self, clients: Clients) -> None:
        stack = _stack(clients, Auth="API_KEY", AuthorizerCacheSeconds="60")

        status, _, body = _call(stack, _echo, {"authorization": "Bearer k"})

        assert (status, body) == (401, {"message": "Unauthorized"})

    def test_the_first_key_is_made_or_chosen(self, clients: Clients) -> None:
        stack = _stack(clients, Auth="API_KEY")

        made = first_key(stack, clients, "")

        assert len(made) == 40
        assert made.isalnum()
        assert first_key(stack, clients, "c" * 20) == "c" * 20 == first_key(stack, clients, "")
        with pytest.raises(InvalidSettings, match="20 characters"):
            first_key(stack, clients, "short")


def test_without_auth_nobody_is_asked(clients: Clients) -> None:
    stack = _stack(clients, Auth="NONE")

    assert authorizers(stack, _echo) == {}
    assert "AuthorizerFunction" not in stack.functions
    assert first_key(stack, clients, "") == ""


class Issuer:
    """An issuer of tokens with a key that it publishes, and one that it does not."""

    def __init__(self) -> None:
        self.key, self.other_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        document = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        keys = json.dumps({"keys": [{**document, "kid": "1", "use": "sig", "alg": "RS256"}]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host = f"http://{self.headers['Host']}"
                is_keys = self.path == "/keys"
                body = keys if is_keys else json.dumps({"issuer": host, "jwks_uri": f"{host}/keys"}).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, *, key: Any = None, **claims: Any) -> str:
        usual = {"iss": self.address, "aud": AUDIENCE, "sub": "user-7", "exp": int(time.time()) + 60}
        given = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(given, key or self.key, "RS256", headers={"kid": "1"})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="class")
def keyed(clients: Clients) -> Stack:
    return _stack(clients, Auth="API_KEY")


@pytest.fixture(scope="class")
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture(scope="class")
def tokened(clients: Clients, issuer: Issuer) -> Stack:
    stack = _stack(clients, Auth="JWT", JwtIssuer="https://example.com", JwtAudience=f"other,{AUDIENCE}")
    described = stack.resolved["TokenAuthorizer"]
    # The template takes https only, which an issuer on this machine has not.
    settings = {**described["JwtConfiguration"], "Issuer": issuer.address}
    return replace(
        stack,
        resolved={**stack.resolved, "TokenAuthorizer": {**described, "JwtConfiguration": settings}},
    )


@pytest.fixture(scope="class")
def url(clients: Clients) -> Iterator[str]:
    stack = _stack(clients, Auth="IAM")
    gateway = Gateway(Router(stack.routes), _echo, Log(as_json=True), authorizers(stack, _echo))
    server = create_server(gateway, host="127.0.0.1", port=0, clear_untrusted_proxy_headers=False)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()


@pytest.fixture(scope="class")
def with_origins(clients: Clients) -> Stack:
    return _stack(clients, Auth="API_KEY", AllowedOrigins=ORIGIN)


class TestTokens:
    def test_a_good_token_brings_its_claims(self, tokened: Stack, issuer: Issuer) -> None:
        token = issuer.token(client_id="app-1", scope="read")

        status, _, found = _call(tokened, _echo, {"authorization": f"Bearer {token}"})

        assert status == 200
        assert found["jwt"]["claims"].items() >= {"sub": "user-7", "client_id": "app-1"}.items()

    def test_a_token_may_name_its_client_in_place_of_an_audience(
        self, tokened: Stack, issuer: Issuer
    ) -> None:
        token = issuer.token(aud=None, client_id=AUDIENCE)  # as Cognito's access tokens do

        assert _call(tokened, _echo, {"authorization": f"Bearer {token}"})[0] == 200

    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": "another service"},
            {"aud": None},
            {"aud": None, "client_id": "another client"},
            {"iss": "https://example.com"},
            {"exp": 1},
            {"exp": None},
            {"nbf": 2**31},
        ],
        ids=str,
    )
    def test_a_token_for_others_or_of_another_time_is_refused(
        self, tokened: Stack, issuer: Issuer, claims: dict[str, Any]
    ) -> None:
        token = issuer.token(**claims)

        status, _, body = _call(tokened, _echo, {"authorization": f"Bearer {token}"})

        assert (status, body) == (401, {"message": "Unauthorized"})

    def test_a_forged_token_is_refused(self, tokened: Stack, issuer: Issuer) -> None:
        public = issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        forged = [
            issuer.token(key=issuer.other_key),
            _signed_by_hand(issuer.token(), "HS256", public),  # the published key as a shared secret
            _signed_by_hand(issuer.token(), "none", b""),
            issuer.token()[:-4] + "AAAA",
            "no token",
            "",
        ]

        assert {_call(tokened, _echo, {"authorization": f"Bearer {token}"})[0] for token in forged} == {401}
        assert _call(tokened, _echo)[0] == 401


def _signed_by_hand(token: str, algorithm: str, secret: bytes) -> str:
    """The claims of a token with a signature that the library would not make."""
    header = _base64(json.dumps({"alg": algorithm, "kid": "1", "typ": "JWT"}).encode())
    text = f"{header}.{token.split('.')[1]}"
    return f"{text}.{_base64(hmac.digest(secret, text.encode(), 'sha256')) if secret else ''}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TestSignatures:
    """By curl, which signs with code of its own."""

    def _ask(self, url: str, *options: str) -> tuple[int, Any]:
        command = ["curl", "-s", "-w", "\n%{http_code}", *options, url]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        body, _, status = found.rpartition("\n")
        return int(status), json.loads(body)

    @pytest.mark.parametrize("path", ["/v1/models", "/v1/models?a=1&b=two%20words"])
    def test_a_signed_request_brings_the_arn_of_its_signer(self, url: str, path: str) -> None:
        sigv4 = ("--aws-sigv4", "aws:amz:us-east-1:execute-api", "--user", "local:local")

        status, found = self._ask(url + path, *sigv4)

        assert (status, found["iam"]["userArn"]) == (200, "arn:aws:iam::123456789012:user/local")

    def test_the_body_is_signed_too(self, url: str) -> None:
        sigv4 = ("--aws-sigv4", "aws:amz:us-east-1:execute-api", "--user", "local:local")

        status, _ = self._ask(f"{url}/v1/classify", *sigv4, "-d", '{"image": ""}')

        assert status == 200

    @pytest.mark.parametrize(
        "options",
        [
            (),
            ("--aws-sigv4", "aws:amz:us-east-1:execute-api", "--user", "local:wrong"),
            ("--aws-sigv4", "aws:amz:us-east-1:execute-api", "--user", "other:local"),
            ("--aws-sigv4", "aws:amz:us-east-1:s3", "--user", "local:local"),
            ("--aws-sigv4", "aws:amz:eu-west-1:execute-api", "--user", "local:local"),
            (
                *("--aws-sigv4", "aws:amz:us-east-1:execute-api", "--user", "local:local"),
                *("-H", "X-Amz-Date: 20200101T000000Z"),
            ),
        ],
        ids=["none", "secret", "user", "service", "region", "old"],
    )
    def test_a_wrong_signature_is_refused(self, url: str, options: tuple[str, ...]) -> None:
        assert self._ask(f"{url}/v1/models", *options) == (403, {"message": "Forbidden"})


class TestOtherOrigins:
    def test_a_browser_is_told_what_it_may_send_without_a_key(self, with_origins: Stack) -> None:
        asked = {"origin": ORIGIN, "access-control-request-method": "POST"}

        status, headers, _ = _call(with_origins, _echo, asked, method="OPTIONS", path="/v1/classify")

        assert status == 204
        assert headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "POST" in headers["Access-Control-Allow-Methods"].split(",")
        assert {"x-api-key", "authorization"} <= set(headers["Access-Control-Allow-Headers"].split(","))

    def test_its_page_may_read_the_answer(self, with_origins: Stack) -> None:
        _, headers, _ = _call(with_origins, _echo, {"origin": ORIGIN}, path="/health")

        assert headers["Access-Control-Allow-Origin"] == ORIGIN

    def test_the_page_of_another_site_may_not(self, with_origins: Stack) -> None:
        asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}

        _, headers, _ = _call(with_origins, _echo, asked, method="OPTIONS", path="/v1/classify")

        assert not [name for name in headers if name.startswith("Access-Control")]

    def test_without_a_list_no_other_site_may(self, clients: Clients) -> None:
        stack = _stack(clients, Auth="NONE")

        _, headers, _ = _call(stack, _echo, {"origin": ORIGIN}, path="/health")

        assert not [name for name in headers if name.startswith("Access-Control")]
