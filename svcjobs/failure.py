"""An exception as text that can be stored, whatever the exception is."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import traceback
from pathlib import Path

ERROR_CHARACTERS = 2_000
TRACEBACK_CHARACTERS = 10_000
CUT = "… "

_MACHINERY = (
    *(str(Path(file).parent) + os.sep for file in (__file__, asyncio.__file__, concurrent.futures.__file__)),
    threading.__file__,
)
_HANDLERS_OF_OURS = str(Path(__file__).with_name("builtins")) + os.sep


def error_text(error: BaseException) -> str:
    """``Type: message``, cut after 2,000 characters."""
    name = type(error).__name__
    message = text_of(error)
    text = f"{name}: {message}" if message else name
    return text if len(text) <= ERROR_CHARACTERS else text[:ERROR_CHARACTERS] + CUT.rstrip()


def traceback_text(error: BaseException) -> str:
    """The traceback with its causes, from the user's code on; of a long one the last 10,000 characters."""
    text = storable(format_error(error))
    return text if len(text) <= TRACEBACK_CHARACTERS else CUT + text[-TRACEBACK_CHARACTERS:]


def format_error(error: BaseException) -> str:
    """The traceback with its causes, each without the frames of the worker, asyncio and threads that lead to it.

    One that has no other frames is kept whole. Never raises.
    """
    try:
        formatted = traceback.TracebackException.from_exception(error)
        for one in _chain(formatted):
            one.stack = _from_users_code(one.stack)
        return "".join(formatted.format())
    except BaseException as raised:  # noqa: BLE001 - as above
        return f"(its traceback can't be written: {type(raised).__name__})"


def text_of(value: object) -> str:
    """``str(value)``, fit to be stored. Never raises."""
    try:
        return storable(str(value))
    except BaseException as raised:  # noqa: BLE001 - a __str__ of the user's, its failure must not cost the job
        return f"(its str() raised {type(raised).__name__})"


def storable(text: str) -> str:
    """``text`` with lone surrogates, which UTF-8 can't hold, written as escapes."""
    return text.encode(errors="backslashreplace").decode()


def _chain(first: traceback.TracebackException) -> list[traceback.TracebackException]:
    """An exception with its causes, contexts and, of a group, members."""
    found = [first]
    for one in found:
        found += [other for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other is not None]
    return found


def _from_users_code(stack: traceback.StackSummary) -> traceback.StackSummary:
    for at, frame in enumerate(stack):
        name = frame.filename
        if not name.startswith(_MACHINERY) or name.startswith(_HANDLERS_OF_OURS):
            return traceback.StackSummary.from_list(stack[at:])
    return stack
