"""Where remote control commands arrive."""

from __future__ import annotations

from typing import Any

from kombu.common import ignore_errors
from kombu.utils.encoding import safe_str

from svcjobs_celery_compat.utils.collections import AttributeDict
from svcjobs_celery_compat.utils.functional import pass1
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.worker import control

__all__ = ("Pidbox",)

logger = get_logger("celery.worker.control")


class Pidbox:
    """The mailbox of a worker.

    Args:
        c: its consumer.
    """

    consumer: Any = None

    def __init__(self, c: Any) -> None:
        self.c = c
        self.hostname = c.hostname
        self.node = c.app.control.mailbox.Node(
            safe_str(c.hostname),
            handlers=control.Panel.for_worker(c),
            state=AttributeDict(
                app=c.app, hostname=c.hostname, consumer=c, tset=pass1 if c.controller is None else set
            ),
        )

    def on_message(self, body: Any, message: Any) -> None:
        """Obey. What goes wrong with one command is logged; the mailbox goes on."""
        self.c.app.clock.forward()
        try:
            self.node.handle_message(body, message)
        except KeyError as exc:
            logger.error("No such control command: %s", exc)
        except Exception as exc:
            logger.error("Control command error: %r", exc, exc_info=True)

    def start(self, c: Any) -> None:
        """Listen on the consumer's connection."""
        self.node.channel = c.connection.channel()
        self.consumer = self.node.listen(callback=self.on_message)
        self.consumer.on_decode_error = self._on_decode_error

    def _on_decode_error(self, message: Any, exc: BaseException) -> None:
        logger.error("Cannot decode control message: %r", exc)
        message.ack()

    def stop(self, c: Any) -> None:
        """Listen no more."""
        self.consumer = None
        channel, self.node.channel = self.node.channel, None
        if channel is not None:
            ignore_errors(c, channel.close)
