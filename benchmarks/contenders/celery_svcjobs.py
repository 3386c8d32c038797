"""Celery, unchanged, on our transport."""

from __future__ import annotations

from celery import Celery, chord

from benchmarks.contenders.celery_calls import CeleryCalls

ARGUMENTS = ("celery", "-A", f"{__name__}:app", "worker", "-P", "solo", "--without-gossip", "--without-mingle")

CONTENDER = CeleryCalls(Celery, chord, "svcjobs", ARGUMENTS)
app = CONTENDER.app
