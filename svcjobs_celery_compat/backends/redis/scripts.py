"""The scripts that count chords, and the one that stores a result on a cluster."""

from __future__ import annotations

from importlib.resources import files


def _script(name: str) -> str:
    return files(__package__).joinpath("lua", f"{name}.lua").read_text("utf-8")


CHORD_PART_RETURN_LUA = _script("chord_part")
CHORD_CLAIM_EXTEND_LUA = _script("chord_claim")
CHORD_CLEANUP_LUA = _script("chord_done")
STORE_LUA = _script("store")
