"""What was just done, told on the next page: kept in the browser's cookies, which no link of another site makes up."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response

TEXTS = {
    "requeue": "Requeued.", "discard": "Discarded.", "cancel": "Cancelled; a running job learns of it soon.",
    "pause": "Paused.", "resume": "Resumed.",
}  # fmt: skip
REQUEUED_SECONDS = 3600
"""So long it is known which job was requeued last."""
_NOTE = "svcjobs_note"
_REQUEUED = "svcjobs_requeued"


def leave(response: Response, verb: str) -> None:
    """Let the next page say that ``verb`` was done."""
    _set(response, _NOTE, verb, 30)


def take(request: Request, response: Response) -> None:
    """The note was shown: the page after this one says it no more."""
    if _NOTE in request.cookies:
        _set(response, _NOTE, "", 0)


def text(request: Request) -> str:
    """What to say on this page; empty when nothing was done."""
    return TEXTS.get(request.cookies.get(_NOTE, ""), "")


def leave_requeued(response: Response, uid: str, acked: int) -> None:
    """Remember that a job was requeued.

    Args:
        response: goes to who did it.
        uid: the job's.
        acked: jobs of its queue that had succeeded before.
    """
    _set(response, _REQUEUED, f"{_digest(uid)}.{acked}", REQUEUED_SECONDS)


def requeued_at(request: Request, uid: str) -> int | None:
    """How many jobs of its queue had succeeded when this browser requeued the job; None when it wasn't the last one."""
    digest, _, acked = request.cookies.get(_REQUEUED, "").partition(".")
    return int(acked) if digest == _digest(uid) and acked.isascii() and acked.isdigit() else None


def _set(response: Response, name: str, value: str, seconds: int) -> None:
    # without a path: that of the pages, wherever they are mounted
    response.set_cookie(name, value, max_age=seconds, path=None, httponly=True, samesite="strict")


def _digest(uid: str) -> str:
    return hashlib.sha256(uid.encode(errors="replace")).hexdigest()[:32]
