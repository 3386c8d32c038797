"""An HTTP server for probes and Prometheus: /livez, /readyz and /metrics."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

from svcjobs.errors import ConfigurationError

logger = logging.getLogger(__name__)

WEDGED_SECONDS = 10.0
"""An event loop that hasn't turned for so long, or a child that has neither reported nor used CPU, is wedged."""
Answer: TypeAlias = tuple[bool, str]
"""Whether all is well, and what isn't."""
Reply: TypeAlias = tuple[HTTPStatus, str, bytes]


class Probes:
    """Answers in threads of its own, from its making to :meth:`close`.

    Args:
        ports: where to listen, on all addresses; all paths are served on each. 0 takes a free one.
        livez: asked for /livez, answered with status 200 or 503.
        readyz: asked for /readyz, in the same way.
        metrics: asked for /metrics, in the text format of Prometheus.

    Attributes:
        ports: where it listens.

    Raises:
        ConfigurationError: a port can't be had.
    """

    def __init__(
        self,
        ports: Sequence[int],
        *,
        livez: Callable[[], Answer],
        readyz: Callable[[], Answer],
        metrics: Callable[[], bytes],
    ) -> None:
        paths: dict[str, Callable[[], Reply]] = {
            "/livez": lambda: _reply(livez()),
            "/readyz": lambda: _reply(readyz()),
            "/metrics": lambda: (HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", metrics()),
        }
        self._servers = [_serve(port, paths) for port in dict.fromkeys(ports)]
        self.ports: list[int] = [server.server_port for server in self._servers]

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers:
            server.shutdown()
            server.server_close()


def _serve(port: int, paths: dict[str, Callable[[], Reply]]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = paths.get(self.path.partition("?")[0])
            try:
                status, kind, body = answer() if answer else (HTTPStatus.NOT_FOUND, "text/plain", b"")
            except Exception:  # a bad answer is that request's, the next may be a good one
                logger.exception("%s can't be answered", self.path)
                status, kind, body = HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b""
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in the library
            logger.debug(format, *args)

    try:
        server = ThreadingHTTPServer(("", port), Handler)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"port {port} can't be listened on: {error}") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="svcjobs-health", daemon=True).start()
    return server


def _reply(answer: Answer) -> Reply:
    ok, why = answer
    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "text/plain; charset=utf-8", f"{'ok' if ok else why}\n".encode()
