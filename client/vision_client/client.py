"""The two clients: what drives the operations, blocking or with asyncio, and a method for each of them."""

from __future__ import annotations

import asyncio
import functools
import inspect
import io
import os
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypedDict, TypeVar, Unpack

import httpx

from vision_client import jobs, operations
from vision_client.errors import NetworkError
from vision_client.sending import INLINE_LIMIT, Call, Operation, Options, Outcome, Pause, Retries, Upload
from vision_client.version import __version__

DEFAULT_URL = "http://127.0.0.1:3000"  # of `make run`
_CONNECT_S = 10
_P = ParamSpec("_P")
_T = TypeVar("_T")


class ClientOptions(TypedDict, total=False):
    """What a client may be told beside the address.

    Attributes:
        api_key: sent as `x-api-key`; `VISION_API_KEY` unless given.
        token: sent as `Authorization: Bearer`, in place of a key.
        timeout: seconds that one try of a request may take to bring the next bytes; 60 unless given.
        retries: of each request.
        inline_limit: bytes of the largest image that goes with a request; larger ones go through a job.
        max_connections: that may be open at once; 20 unless given.
    """

    api_key: str | None
    token: str | None
    timeout: float
    retries: Retries
    inline_limit: int
    max_connections: int


class _Connection:
    """What both clients know of the service."""

    def __init__(self, base_url: str | None, options: ClientOptions) -> None:
        url = base_url or os.environ.get("VISION_URL") or DEFAULT_URL
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"base_url: must begin with http:// or https://, not {url!r}")
        self.base_url = url.rstrip("/")
        self._headers = _credentials(options.get("api_key"), options.get("token"))
        self._options = Options(options.get("retries", Retries()), options.get("inline_limit", INLINE_LIMIT))
        timeout, connections = options.get("timeout", 60.0), options.get("max_connections", 20)
        self._settings: dict[str, Any] = {
            "timeout": httpx.Timeout(timeout, connect=min(timeout, _CONNECT_S)),
            "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            "headers": {"User-Agent": f"vision-client/{__version__}", "Accept": "*/*"},
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"  # without the key

    def _arguments(self, call: Call) -> dict[str, Any]:
        """The arguments of httpx's `build_request`; the key goes to the service alone."""
        is_own = call.url.startswith("/")
        arguments: dict[str, Any] = {
            "method": call.method,
            "url": self.base_url + call.url if is_own else call.url,
            "headers": {**(self._headers if is_own else {}), **call.headers},
        }
        if call.query:
            arguments["params"] = dict(call.query)
        if call.upload:
            arguments["data"] = dict(call.upload.fields)
            file = (call.upload.name, _Counted(call.upload), call.upload.content_type)
            arguments["files"] = {"file": file}
        elif call.content is not None:
            arguments["content"] = call.content
        return arguments

    def _network_error(self, call: Call, error: httpx.TransportError) -> NetworkError:
        place = self.base_url if call.url.startswith("/") else call.url.partition("?")[0]
        return NetworkError(f"{place}: {_NETWORK.get(type(error), str(error) or type(error).__name__)}")


def _credentials(api_key: str | None, token: str | None) -> dict[str, str]:
    if token:
        return {"Authorization": f"Bearer {token}"}
    key = os.environ.get("VISION_API_KEY", "") if api_key is None else api_key
    return {"x-api-key": key} if key else {}


_NETWORK: dict[type[httpx.TransportError], str] = {
    httpx.ReadError: "the connection broke off",
    httpx.WriteError: "the connection broke off",
    httpx.ConnectTimeout: "no connection in time",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "the request could not be sent in time",
    httpx.PoolTimeout: "all connections of this client are busy",
}


class _Counted(io.BytesIO):
    """A file that tells how far it has been read."""

    def __init__(self, upload: Upload) -> None:
        super().__init__(upload.data)
        self._tell = upload.on_sent

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if data:
            self._tell(self.tell())
        return data


def _signed(method: Callable[..., Any], operation: Callable[..., Any]) -> None:
    """Gives a method the name, the text and the arguments of its operation, for `help` and for editors."""
    functools.update_wrapper(method, operation)
    signature = inspect.signature(operation)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    answer = str(signature.return_annotation).removeprefix("Operation[").removesuffix("]")
    parameters = [itself, *list(signature.parameters.values())[1:]]
    method.__signature__ = signature.replace(parameters=parameters, return_annotation=answer)  # type: ignore[attr-defined]


def _blocking(
    operation: Callable[Concatenate[Options, _P], Operation[_T]],
) -> Callable[Concatenate[Client, _P], _T]:
    def method(client: Client, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return client._run(operation(client._options, *args, **kwargs))

    _signed(method, operation)
    return method


def _awaited(
    operation: Callable[Concatenate[Options, _P], Operation[_T]],
) -> Callable[Concatenate[AsyncClient, _P], Coroutine[Any, Any, _T]]:
    async def method(client: AsyncClient, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await client._run(operation(client._options, *args, **kwargs))

    _signed(method, operation)
    return method


class Client(_Connection):
    """A client that blocks; threads may share it.

    Args:
        base_url: of the service; `VISION_URL` unless given, else that of `make run`.
        transport: of httpx, in place of the network.
        options: see `ClientOptions`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(base_url, options)
        self._http = httpx.Client(transport=transport, **self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _run(self, operation: Operation[_T]) -> _T:
        outcome: Outcome = None
        while True:
            try:
                step = operation.send(outcome)
            except StopIteration as stop:
                answer: _T = stop.value
                return answer
            outcome = None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                outcome = self._send(step)

    def _send(self, call: Call) -> Outcome:
        try:
            return self._http.send(self._http.build_request(**self._arguments(call)))
        except httpx.TransportError as error:
            return self._network_error(call, error)

    classify = _blocking(operations.classify)
    detect = _blocking(operations.detect)
    segment = _blocking(operations.segment)
    explain = _blocking(operations.explain)
    detect_as = _blocking(operations.detect_as)
    segment_as = _blocking(operations.segment_as)
    explain_as = _blocking(operations.explain_as)
    transform = _blocking(operations.transform)
    variants = _blocking(operations.variants)
    models = _blocking(operations.models)
    model = _blocking(operations.model)
    health = _blocking(operations.health)
    create_job = _blocking(jobs.create_job)
    upload = _blocking(jobs.upload)
    submit = _blocking(jobs.submit)
    job = _blocking(jobs.job)
    wait = _blocking(jobs.wait)
    start_batch = _blocking(jobs.start_batch)
    batch = _blocking(jobs.batch)
    wait_for_batch = _blocking(jobs.wait_for_batch)


class AsyncClient(_Connection):
    """A client for asyncio: its arguments and methods are those of `Client`, and the methods are awaited."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(base_url, options)
        self._http = httpx.AsyncClient(transport=transport, **self._settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _run(self, operation: Operation[_T]) -> _T:
        outcome: Outcome = None
        while True:
            try:
                step = operation.send(outcome)
            except StopIteration as stop:
                answer: _T = stop.value
                return answer
            outcome = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                outcome = await self._send(step)

    async def _send(self, call: Call) -> Outcome:
        try:
            return await self._http.send(self._http.build_request(**self._arguments(call)))
        except httpx.TransportError as error:
            return self._network_error(call, error)

    classify = _awaited(operations.classify)
    detect = _awaited(operations.detect)
    segment = _awaited(operations.segment)
    explain = _awaited(operations.explain)
    detect_as = _awaited(operations.detect_as)
    segment_as = _awaited(operations.segment_as)
    explain_as = _awaited(operations.explain_as)
    transform = _awaited(operations.transform)
    variants = _awaited(operations.variants)
    models = _awaited(operations.models)
    model = _awaited(operations.model)
    health = _awaited(operations.health)
    create_job = _awaited(jobs.create_job)
    upload = _awaited(jobs.upload)
    submit = _awaited(jobs.submit)
    job = _awaited(jobs.job)
    wait = _awaited(jobs.wait)
    start_batch = _awaited(jobs.start_batch)
    batch = _awaited(jobs.batch)
    wait_for_batch = _awaited(jobs.wait_for_batch)
