"""``app.control``: tells workers what to do, and asks them what they do."""

from svcjobs_celery_compat.app.control.client import TERM_SIGNAME, Control
from svcjobs_celery_compat.app.control.inspection import Inspect, flatten_reply
from svcjobs_celery_compat.app.control.revocations import Revocations

__all__ = ("TERM_SIGNAME", "Control", "Inspect", "Revocations", "flatten_reply")
