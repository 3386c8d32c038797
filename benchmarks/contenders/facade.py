"""The facade: Celery's interface, our worker."""

from __future__ import annotations

from benchmarks.contenders.celery_calls import CeleryCalls
from svcjobs_celery_compat import Celery, chord

ARGUMENTS = ("svcjobs", "worker", "-A", f"{__name__}:app", "-P", "prefork", "-c", "1")

CONTENDER = CeleryCalls(Celery, chord, "svcjobs", ARGUMENTS)
app = CONTENDER.app
