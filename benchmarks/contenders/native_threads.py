"""``svcjobs worker`` with threads, for jobs that wait."""

from __future__ import annotations

from benchmarks.contenders.native import Native

CONTENDER = Native("-P", "threads", "-c", "8")
