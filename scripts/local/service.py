"""The whole service on one machine: moto, the functions' environments, the HTTP API and the pollers."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer
from waitress.server import create_server

from local.authorization import authorizers, first_key
from local.clients import Clients, connect
from local.environment import Environment
from local.executions import state_machines
from local.gateway import Gateway
from local.http_events import Router
from local.log import Log
from local.poller import Poller
from local.pool import Pool
from local.stack import Function, Stack, deploy
from local.template import REGION, read_template
from swagger_ui import swagger_ui

REPOSITORY = Path(__file__).resolve().parents[2]
# More than wait in a function's line, so that the line and not the server turns requests away.
_HTTP_THREADS = 64
# A function claims an upload for a little longer than it may run; see vision/jobs.py.
_CLAIM_MARGIN_S = 6
# The first is the template's parameter, for the authorizer must know it too; the second is for callers.
_NOT_CHOSEN = ("VISION_AUTH", "VISION_API_KEY")
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


class Service:
    """Everything that runs.

    Args:
        template: path of template.yaml.
        listener: a bound socket for HTTP.
        log: what is written to.
        retry_s: seconds after which a failed message comes back.
        user_environment: variables of the person who started it; `VISION_*` reach the functions.
        parameters: of the template, where they are not to have their defaults.

    Attributes:
        stack: the deployed template.
        clients: of moto's server.
        api_key: a key that is let in; empty where no keys are asked for.
    """

    def __init__(
        self,
        template: Path,
        listener: socket.socket,
        *,
        log: Log,
        retry_s: int,
        user_environment: Mapping[str, str],
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's log of every request
        self._moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._moto.start()
        host, port = self._moto.get_host_and_port()
        self.clients: Clients = connect(f"http://{host}:{port}")
        self.stack: Stack = deploy(read_template(template, parameters), self.clients)
        self.api_key = first_key(self.stack, self.clients, user_environment.get("VISION_API_KEY", ""))
        # Before the functions, which are told where it is.
        self._machines = state_machines(self.stack.resolved, self._invoke, self.clients.s3, log)
        self._pools = {
            name: Pool(self._starter(function, user_environment), os.cpu_count() or 1)
            for name, function in self.stack.functions.items()
        }
        self._pollers = [
            Poller(
                trigger,
                self.clients.sqs,
                self._pools[trigger.function].invoke,
                log,
                retry_s=retry_s,
                lost_retry_s=self.stack.functions[trigger.function].timeout_s + _CLAIM_MARGIN_S,
            )
            for trigger in self.stack.triggers
        ]
        gateway = Gateway(
            Router(self.stack.routes),
            self._invoke,
            log,
            authorizers(self.stack, self._invoke),
            cors=self.stack.resolved["HttpApi"].get("CorsConfiguration"),
        )
        self._http = create_server(
            gateway,
            sockets=[listener],
            threads=_HTTP_THREADS,
            ident=None,
            clear_untrusted_proxy_headers=False,
        )

    def start(self) -> dict[str, str]:
        """Starts the functions, HTTP and the queues; gives the functions that could not start, and why."""
        for pool in self._pools.values():
            pool.warm_up()
        failures = {name: pool.wait_until_ready() for name, pool in self._pools.items()}
        threading.Thread(target=self._http.run, daemon=True).start()
        for machine in self._machines:
            machine.start()
        for poller in self._pollers:
            poller.start()
        return {name: failure for name, failure in failures.items() if failure}

    def stop(self) -> None:
        """Ends everything; events in hand have a second to finish."""
        for poller in self._pollers:
            poller.stop()
        closing = [threading.Thread(target=pool.close, args=(1.0,)) for pool in self._pools.values()]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        self._http.close()
        for machine in self._machines:
            machine.stop()
        self._moto.stop()

    def _invoke(self, function: str, event: Any) -> Any:
        return self._pools[function].invoke(event)

    def _starter(self, function: Function, user_environment: Mapping[str, str]) -> partial[Environment]:
        variables = function_variables(function, user_environment, self.clients.endpoint)
        for machine in self._machines:
            variables["AWS_ENDPOINT_URL_SFN"] = machine.endpoint  # moto has the rest of AWS
        return partial(Environment, function, variables, partial(self._log.line, function.name))


def function_variables(
    function: Function, user_environment: Mapping[str, str], endpoint: str
) -> dict[str, str]:
    """Gives the environment of a function: the template's, Lambda's own, and what leads to moto."""
    chosen = {
        name: text
        for name, text in user_environment.items()
        if name.startswith("VISION_") and text and name not in _NOT_CHOSEN
    }
    return {
        **{name: user_environment[name] for name in _PASSED_ON if name in user_environment},
        "VISION_MODELS": str(REPOSITORY / "models"),
        "VISION_SWAGGER_UI": str(swagger_ui() or ""),
        **function.environment,
        # The user's choice, but for the names of buckets and tables: those exist only here.
        **{name: text for name, text in chosen.items() if name not in function.resource_variables},
        "PYTHONPATH": str(REPOSITORY / "layers" / "core"),
        "TZ": ":UTC",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "_HANDLER": function.handler,
        "LAMBDA_TASK_ROOT": str(function.code),
    }
