"""``python -m tests.chaos``: strike for some minutes, or measure how long recovery takes."""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sys
from pathlib import Path

from tests.chaos.history import read
from tests.chaos.run import OPTIONS, Outcome, run

LOSSY_SHARE = 0.2
"""Part of the time in which the server may lose what it acknowledged."""


def main() -> int:
    """Run what the command line says; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["strike", "recovery"], default="strike")
    parser.add_argument("--seed", type=int, help="the same seed makes the same choices; drawn when left out")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--options", default=" ".join(OPTIONS), help="of each worker")
    parser.add_argument("--lossy-share", type=float, default=LOSSY_SHARE, help="part of the time with power cuts")
    given = parser.parse_args()
    if given.what == "recovery":
        from tests.chaos.recovery import main as measure

        return measure()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}, {given.minutes:g} minutes; again: {_again(seed, given)}", flush=True)
    outcomes = []
    for lossy, share in ((False, 1 - given.lossy_share), (True, given.lossy_share)):
        if share > 0:
            options = tuple(shlex.split(given.options))
            outcomes.append(run(seed, given.minutes * 60 * share, workers=given.workers, options=options, lossy=lossy))
            print(outcomes[-1].table(), flush=True)
    return _verdict(outcomes, _again(seed, given))


def _again(seed: int, given: argparse.Namespace) -> str:
    return (
        f"python -m tests.chaos --seed {seed} --minutes {given.minutes:g} --workers {given.workers} "
        f"--options={shlex.quote(given.options)} --lossy-share {given.lossy_share:g}"
    )


def _verdict(outcomes: list[Outcome], again: str) -> int:
    """Say last what was broken: of a long output, some only see the end."""
    broken = [outcome for outcome in outcomes if outcome.findings]
    for outcome in broken:
        print(f"seed {outcome.seed} breaks promises; history in {outcome.folder}; again: {again}")
        for finding in outcome.findings[:5]:
            print(f"{finding.invariant}: {finding.sentence}", *_story(outcome.folder, finding.sentence), sep="\n  ")
    return 1 if broken else 0


def _story(folder: Path, sentence: str) -> list[str]:
    """What happened to the jobs that a sentence names, and all strikes, deaths and excuses."""
    words = set(sentence.split())
    return [
        f"{event.at:.3f} {event.kind} in {event.pid} {json.dumps(event.fields)}"
        for event in read(folder)
        if event.kind in ("nemesis", "death", "excuse") or event.fields.get("job") in words
    ]


if __name__ == "__main__":
    sys.exit(main())
