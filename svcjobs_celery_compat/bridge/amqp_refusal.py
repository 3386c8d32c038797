"""Which queues of RabbitMQ may refuse a message.

AMQP has no way to read how a queue was declared. But to declare it in another way is an error that names the first
difference, so a few questions tell all arguments. Policies remain unknown.
"""

from __future__ import annotations

import re
from typing import Any

from amqp.exceptions import AccessRefused, PreconditionFailed

_DIFFERENCE = re.compile(
    r"inequivalent arg '([^']+)' for queue .* current is (?:the value )?'(.*?)'(?: of type '(\w+)')?$"
)
_ACCEPTING = {"x-overflow": "drop-head", "x-queue-type": "classic"}
_READ = {"longstr": str, "signedint": int, "long": int, "short": int, "byte": int}


def may_refuse(connection: Any, name: str) -> bool:
    """Whether a queue may refuse messages, as far as its declaration tells.

    A quorum queue always may: a policy can make it refuse, and in a transaction it does so in silence. A queue that
    can't be asked may, too.

    Args:
        connection: kombu's, open.
        name: of a queue that exists.
    """
    arguments = _arguments_of(connection, name)
    return arguments is None or any(arguments.get(argument, value) != value for argument, value in _ACCEPTING.items())


def _arguments_of(connection: Any, name: str) -> dict[str, Any] | None:
    flags, arguments = {"durable": True, "auto_delete": False}, dict[str, Any]()
    differed = set()
    while True:
        channel = connection.channel()  # an error closes it
        try:
            channel.queue_declare(name, arguments=arguments, **flags)
        except PreconditionFailed as error:
            found = _DIFFERENCE.search(error.reply_text)
            if found is None or found[1] in differed:
                return None
            argument, value, kind = found.groups()
            differed.add(argument)
            if argument in flags:
                flags[argument] = value == "true"
            else:
                arguments[argument] = value == "true" if kind == "bool" else _READ.get(kind, str)(value)
        except AccessRefused:  # only who may configure it may ask
            return None
        else:
            channel.close()
            return arguments
