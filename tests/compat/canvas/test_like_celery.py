"""Random canvases, built with Celery in one process and with the facade in another, are the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compat.canvas.normal import normal
from tests.compat.canvas.specs import Spec, canvases

PROGRAM = Path(__file__).with_name("program.py")

#: docs/adr/019: what Celery writes of a body of one task, and of a copied map
ODD_REPR = re.compile(r"celery\.| \| <chain@\w+: empty>|map\(|\[\w+\(\*?x\) for x")


def observations(package: str, specs: list[Spec], *flags: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), package, *flags],
        input=json.dumps(specs),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def comparable(observed: Any) -> Any:
    if isinstance(observed, dict) and "repr" in observed and ODD_REPR.search(observed["repr"]):
        observed = {**observed, "repr": ""}
    return normal(observed)


@pytest.mark.parametrize("seed", [1, 2])
def test_canvases_are_written_frozen_sent_and_run_as_celerys(seed: int) -> None:
    specs = canvases(seed, 100)
    expected, found = observations("celery", specs), observations("svcjobs_celery_compat", specs)
    for spec, theirs, ours in zip(specs, expected, found, strict=True):
        for what in theirs:
            assert comparable(ours[what]) == comparable(theirs[what]), (what, spec)


def test_chains_in_parts_come_out_as_celerys() -> None:
    specs = canvases(3, 100)
    expected, found = observations("celery", specs), observations("svcjobs_celery_compat", specs, "--fold")
    for spec, theirs, ours in zip(specs, expected, found, strict=True):
        assert comparable(ours["run"]) == comparable(theirs["run"]), spec
