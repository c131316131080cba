"""template.yaml in moto."""

from collections.abc import Iterator

import pytest
import urllib3
from moto.server import ThreadedMotoServer

from local.clients import Clients, connect
from local.stack import Stack, deploy
from local.template import Template, read_template


@pytest.fixture(scope="module")
def template() -> Template:
    return read_template()


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # moto keeps its state in the process: what earlier tests made would still be there.
    urllib3.request("POST", f"http://{host}:{port}/moto-api/reset")
    yield connect(f"http://{host}:{port}")
    server.stop()


@pytest.fixture(scope="module")
def stack(template: Template, clients: Clients) -> Stack:
    return deploy(template, clients)
