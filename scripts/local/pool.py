"""The execution environments of one function: as many as are busy, up to a limit, and a line before them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from local.environment import Environment, EnvironmentDied, InvocationError, TimedOut

# Further requests are refused: they would wait longer than an HTTP client does.
MAX_WAITING = 48


class Throttled(InvocationError):
    """Every environment is busy and the line is full."""

    status = 429


class Pool:
    """Environments of one function.

    Args:
        start: makes an environment; raises `EnvironmentDied` if the handler cannot be loaded.
        max_environments: how many there may be at once.
    """

    def __init__(self, start: Callable[[], Environment], max_environments: int) -> None:
        self._start = start
        self._max = max_environments
        self._changed = threading.Condition()
        self._idle: list[Environment] = []
        self._all: set[Environment] = set()
        self._failures: list[EnvironmentDied] = []
        self._starting = 0
        self._waiting = 0
        self._is_closed = False

    def warm_up(self) -> None:
        """Starts the first environment in the background."""
        with self._changed:
            self._start_one()

    def wait_until_ready(self) -> str:
        """Waits for the first environment; gives the reason if it could not be started, otherwise nothing."""
        with self._changed:
            self._changed.wait_for(lambda: not self._starting)
            return str(self._failures.pop()) if self._failures else ""

    def invoke(self, event: Any) -> Any:
        """Gives the handler's answer to an event, waiting for an environment if all are busy.

        Raises:
            InvocationError: `Throttled` if too many wait already, or what `Environment.invoke` raises.
        """
        environment = self._take()
        try:
            return environment.invoke(event)
        except (EnvironmentDied, TimedOut):
            # Here and not only on the next request, so that the next request finds it started.
            self._replace(environment)
            raise
        finally:
            self._give_back(environment)

    def close(self, patience_s: float) -> None:
        """Ends every environment; those that are busy have some seconds to finish."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: len(self._idle) == len(self._all), patience_s)
            environments = list(self._all)
        for environment in environments:
            environment.kill()

    def _take(self) -> Environment:
        with self._changed:
            if self._waiting >= MAX_WAITING:
                raise Throttled(f"more than {MAX_WAITING} requests wait for this function")
            self._waiting += 1
            try:
                return self._wait_for_one()
            finally:
                self._waiting -= 1

    def _wait_for_one(self) -> Environment:
        self._failures.clear()  # of an attempt that nobody waited for
        while True:
            while self._idle:
                environment = self._idle.pop()
                if environment.is_alive:
                    return environment
                self._all.discard(environment)
            if self._failures:
                raise self._failures.pop()
            # One more than there is, if there may be; this request takes whichever is free first.
            if self._waiting > self._starting:
                self._start_one()
            self._changed.wait()

    def _give_back(self, environment: Environment) -> None:
        with self._changed:
            if environment in self._all:
                self._idle.append(environment)
                self._changed.notify_all()

    def _replace(self, environment: Environment) -> None:
        with self._changed:
            self._all.discard(environment)
            self._start_one()

    def _start_one(self) -> None:
        if len(self._all) + self._starting < self._max and not self._is_closed:
            self._starting += 1
            threading.Thread(target=self._add, daemon=True).start()

    def _add(self) -> None:
        environment, failure = None, None
        try:
            environment = self._start()
        except EnvironmentDied as error:
            failure = error
        with self._changed:
            self._starting -= 1
            if failure:
                self._failures.append(failure)
            elif environment and self._is_closed:
                environment.kill()
            elif environment:
                self._all.add(environment)
                self._idle.append(environment)
            # Everyone: who gets a failure leaves, and the others must see whether one still starts.
            self._changed.notify_all()
