"""Filling the templates: all that comes from jobs is escaped, and secrets are covered."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from svcjobs.dashboard import notes
from svcjobs.dashboard.masking import mask_text

FOLDER = Path(__file__).parent
PLACES = {"ready": "ready", "leased": "running", "delayed": "delayed", "dead": "dead"}
"""Where a job may lie, in the order of the tabs, and what people call it."""


class Pages:
    """The templates.

    Args:
        read_only: leaves out everything that changes anything.
    """

    def __init__(self, *, read_only: bool) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters |= {"duration": duration, "stamp": _stamp, "secretless": mask_text, "short": short}
        self._templates.globals |= {"link": _link, "read_only": read_only, "places": PLACES}

    def page(self, template: str, request: Request, status: int = 200, **values: Any) -> HTMLResponse:
        """A filled template, with a note of what was just done."""
        text = self._templates.get_template(template).render(values, page=template, note=notes.text(request))
        # a job that another program stored may hold half a character
        response = HTMLResponse(text.encode(errors="replace"), status)
        notes.take(request, response)
        return response


def short(queue: str) -> str:
    """A queue's own name: ``emails`` for ``jobs:{emails}``."""
    return queue.rpartition(":{")[2].strip("{}")


def duration(seconds: float | None) -> str:
    """A time as people read it: three digits and a unit."""
    if seconds is None:
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            count = seconds / size
            return f"{count:.0f} {unit}" if count >= 100 else f"{count:.3g} {unit}"
    return f"{max(seconds, 0) * 1000:.0f} ms"


def _link(page: str, **query: str) -> str:
    return f"{page}?{urlencode(query, errors='replace')}"


def _stamp(instant: datetime | None) -> str:
    return "–" if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
