"""A service in this process, and the clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.client.fake_service import FakeService

from vision_client import AsyncClient, Client

Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def _nothing_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISION_URL", "VISION_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> FakeService:
    return FakeService()


@pytest.fixture(params=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest, fake: FakeService) -> Ask:
    """Calls a method of either client: its name, its arguments, and under `client` those of the client."""

    def blocking(method: str, *arguments: Any, client: dict[str, Any] | None = None, **options: Any) -> Any:
        with Client(transport=httpx.MockTransport(fake), **(client or {})) as made:
            return getattr(made, method)(*arguments, **options)

    def awaited(method: str, *arguments: Any, client: dict[str, Any] | None = None, **options: Any) -> Any:
        async def call() -> Any:
            async with AsyncClient(transport=httpx.MockTransport(fake), **(client or {})) as made:
                return await getattr(made, method)(*arguments, **options)

        return asyncio.run(call())

    return blocking if request.param == "blocking" else awaited


@pytest.fixture
def url(fake: FakeService) -> Iterator[str]:
    with fake.serve() as address:
        yield address
