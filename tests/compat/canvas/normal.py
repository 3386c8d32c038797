"""Observations with their ids numbered in the order in which they appear, so that two can be compared."""

from __future__ import annotations

import re
from typing import Any

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def normal(observed: Any, ids: dict[str, str] | None = None) -> Any:
    """``observed`` with ids numbered; dictionaries in the order of their keys, names of stamps sorted."""
    ids = {} if ids is None else ids
    if isinstance(observed, dict):
        entries = sorted(observed.items())
        if "reply_to" in observed or "task_id" in observed:  # the options of a signature: None is as good as none
            entries = [(key, value) for key, value in entries if value is not None and key != "add_to_parent"]
        return {
            key: sorted(value) if key == "stamped_headers" and value else normal(value, ids) for key, value in entries
        }
    if isinstance(observed, list):
        return [normal(item, ids) for item in observed]
    if isinstance(observed, str) and UUID.fullmatch(observed):
        return ids.setdefault(observed, f"id {len(ids)}")
    return observed
