"""``svcjobs migrate route``: which kind of worker runs a task, decided while everything runs (ADR 021)."""
