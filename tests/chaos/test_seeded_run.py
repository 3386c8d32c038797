"""A short chaos run, the same in each run of the tests. .ci/run has a longer one, and `make chaos` draws new seeds."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.chaos.run import run
from tests.server_program import ServerProgram

SECONDS = float(os.environ.get("SVCJOBS_CHAOS_SECONDS", "40"))
SEED = int(os.environ.get("SVCJOBS_CHAOS_SEED", "1"))


@pytest.mark.timeout(SECONDS + 260)
@pytest.mark.parametrize(
    ("lossy", "share"), [(False, 0.75), (True, 0.25)], ids=["nothing is lost", "losses are counted"]
)
def test_a_seeded_run_breaks_no_promise(server_program: ServerProgram, *, lossy: bool, share: float) -> None:
    outcome = run(SEED, SECONDS * (0.25 if lossy else 0.75), program=server_program, lossy=lossy)
    print(outcome.table())
    assert not outcome.findings, (
        f"{outcome.table()}\nagain: SVCJOBS_CHAOS_SEED={SEED} SVCJOBS_CHAOS_SECONDS={SECONDS:g} pytest {__file__}; "
        f"the history is in {outcome.folder}"
    )
    assert outcome.runs > 20, "nothing much was done"
    shutil.rmtree(outcome.folder, ignore_errors=True)
