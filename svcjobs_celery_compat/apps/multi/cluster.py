"""Several workers."""

from __future__ import annotations

import signal
from collections import UserList
from collections.abc import Iterable, Iterator, Sequence
from time import sleep
from typing import Any

from svcjobs_celery_compat.apps.multi.naming import celery_exe
from svcjobs_celery_compat.apps.multi.node import Node
from svcjobs_celery_compat.platforms import signal_name


def maybe_call(fun: Any, *args: Any, **kwargs: Any) -> None:
    """Call what isn't None."""
    if fun is not None:
        fun(*args, **kwargs)


class Cluster(UserList[Any]):
    """Several workers that are started and stopped together; keyword arguments are called with what happens.

    Args:
        nodes: the workers.
        cmd: the command.
        env: environment of the commands.
        **handlers: ``on_node_start``, ``on_node_status`` … as named below.
    """

    HANDLERS = (
        "on_stopping_preamble", "on_send_signal", "on_still_waiting_for", "on_still_waiting_progress",
        "on_still_waiting_end", "on_node_start", "on_node_restart", "on_node_shutdown_ok", "on_node_status",
        "on_node_signal", "on_node_signal_dead", "on_node_down", "on_child_spawn", "on_child_signalled",
        "on_child_failure",
    )  # fmt: skip

    def __init__(self, nodes: Iterable[Any], cmd: str | None = None, env: Any = None, **handlers: Any) -> None:
        self.nodes = list(nodes)
        self.cmd = cmd or celery_exe("worker")
        self.env = env
        for name in self.HANDLERS:
            setattr(self, name, handlers.pop(name, None))
        if handlers:
            raise TypeError(f"unknown handlers: {', '.join(handlers)}")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    @property
    def data(self) -> list[Any]:  # type: ignore[override]  # as Celery has it
        """The workers."""
        return self.nodes

    def start(self) -> list[Any]:
        """Start all; returns their exit codes."""
        return [self.start_node(node) for node in self]

    def start_node(self, node: Node) -> Any:
        """Start one."""
        maybe_call(self.on_node_start, node)
        retcode = self._start_node(node)
        maybe_call(self.on_node_status, node, retcode)
        return retcode

    def _start_node(self, node: Node) -> Any:
        return node.start(
            self.env, on_spawn=self.on_child_spawn, on_signalled=self.on_child_signalled,
            on_failure=self.on_child_failure,
        )  # fmt: skip

    def send_all(self, sig: int) -> None:
        """Send a signal to all that run."""
        for node in self.getpids(on_down=self.on_node_down):
            maybe_call(self.on_node_signal, node, signal_name(sig))
            node.send(sig, self.on_node_signal_dead)

    def kill(self) -> None:
        """Kill all."""
        self.send_all(signal.SIGKILL)

    def restart(self, sig: int = signal.SIGTERM) -> list[Any]:
        """Stop each, and start it again when it has ended; returns the exit codes."""
        retvals = []

        def restart_on_down(node: Node) -> None:
            maybe_call(self.on_node_restart, node)
            retvals.append(self._start_node(node))
            maybe_call(self.on_node_status, node, retvals[-1])

        self._stop_nodes(retry=2, on_down=restart_on_down, sig=sig)
        return retvals

    def stop(self, retry: float | None = None, callback: Any = None, sig: int = signal.SIGTERM) -> None:
        """Stop all."""
        self._stop_nodes(retry=retry, on_down=callback, sig=sig)

    def stopwait(self, retry: float = 2, callback: Any = None, sig: int = signal.SIGTERM) -> None:
        """Stop all, and wait for their ends."""
        self._stop_nodes(retry=retry, on_down=callback, sig=sig)

    def _stop_nodes(self, retry: float | None = None, on_down: Any = None, sig: int = signal.SIGTERM) -> None:
        on_down = on_down if on_down is not None else self.on_node_down
        nodes = list(self.getpids(on_down=on_down))
        if nodes:
            for node in self.shutdown_nodes(nodes, sig=sig, retry=retry):
                maybe_call(on_down, node)

    def shutdown_nodes(
        self, nodes: Sequence[Any], sig: int = signal.SIGTERM, retry: float | None = None
    ) -> Iterator[Any]:
        """Stop these; yields each that has ended, with `retry` seconds between two looks."""
        waiting = set(nodes)
        maybe_call(self.on_stopping_preamble, nodes)
        for node in nodes:
            maybe_call(self.on_send_signal, node, signal_name(sig))
            if not node.send(sig, self.on_node_signal_dead):
                waiting.discard(node)
                yield node
        if not retry:
            return
        maybe_call(self.on_still_waiting_for, waiting)
        while waiting:
            for node in list(waiting):
                maybe_call(self.on_still_waiting_progress, waiting)
                if not node.alive():
                    maybe_call(self.on_node_shutdown_ok, node)
                    waiting.discard(node)
                    yield node
                    maybe_call(self.on_still_waiting_for, waiting)
            if waiting:
                sleep(float(retry))
        maybe_call(self.on_still_waiting_end)

    def find(self, name: str) -> Any:
        """The worker with that name.

        Raises:
            KeyError: there is none.
        """
        for node in self:
            if node.name == name:
                return node
        raise KeyError(name)

    def getpids(self, on_down: Any = None) -> Iterator[Any]:
        """The workers that have a pid; `on_down` is called with the others."""
        for node in self:
            if node.pid:
                yield node
            else:
                maybe_call(on_down, node)
