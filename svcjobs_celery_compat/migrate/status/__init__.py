"""``svcjobs migrate status``: who runs what, and how that goes on each side (ADR 022)."""
