"""The dashboard: an ASGI application that shows queues, and acts on jobs for the people who look after them."""

from __future__ import annotations

from svcjobs.extras import extra

with extra("dashboard", "starlette"):
    from svcjobs.dashboard.app import create_app
    from svcjobs.dashboard.found_queues import FoundQueues
    from svcjobs.dashboard.guard import Authenticate, loopback_only, password_required

__all__ = ["Authenticate", "FoundQueues", "create_app", "loopback_only", "password_required"]
