"""Celery's own integration tests on real Celery: with svcjobs:// as broker, and with redis:// to compare.

Run: ``python -m tests.compat.transport.celery_suite`` for all, on both (20 to 40 minutes), or ``--short`` for a
choice on svcjobs:// alone, in some two minutes. What else is given goes to pytest.

The tests come from Celery's source distribution on the package index; of that, only ``t/`` is unpacked. Each run has a
Redis of its own. Most of these tests are marked as flaky by their authors, so what failed is run again by itself, twice
at most, on either broker. Exit status 0 when no test that passes on redis:// fails on svcjobs://.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path

from tests.compat.transport.sdist import NoSdist, unpacked
from tests.server_program import ROOT
from tests.servers import RedisServer

BROKERS = ("redis", "svcjobs")
FILES = ("test_inspect", "test_tasks", "test_canvas")
TRIES = 3
# left out are the slow ones, and those that fail on redis:// as well
SHORT = (
    "(test_inspect or test_tasks or replaced_with_chain or test_priority or countdown_delays)"
    " and not (test_retry or test_timeout or test_expired or revoked_by_headers or revoke_keeps_state"
    " or trace_log_arguments)"
)
SETTINGS = """
[pytest]
python_classes = test_*
markers =
    flaky: of Celery's tests
    celery: of Celery's tests
    amqp: of Celery's tests
"""

Outcomes = dict[str, str]
"""What became of each test: passed, failed or skipped."""


def run(broker: str, folder: Path, tests: list[str], further: list[str]) -> Outcomes:
    """Run tests once, with a server of their own.

    Args:
        broker: scheme of the URL.
        folder: which holds ``t``.
        tests: files, or names of tests.
        further: options for pytest.
    """
    with RedisServer() as server, tempfile.TemporaryDirectory() as scratch:
        settings, report = Path(scratch, "pytest.ini"), Path(scratch, "report.xml")
        settings.write_text(SETTINGS)
        environment = {
            "TEST_BROKER": f"{broker}://127.0.0.1:{server.port}/0", "TEST_BACKEND": server.url,
            "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port),
            "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder),
        }  # fmt: skip
        command = [sys.executable, "-m", "pytest", "-q", "-p", "celery.contrib.pytest", "-p", "no:cacheprovider"]
        options = [
            f"--config-file={settings}",
            f"--rootdir={folder}",
            f"--junitxml={report}",
            "--timeout=300",
            "--tb=short",
        ]
        subprocess.run([*command, *options, *further, *tests], cwd=folder, env=os.environ | environment, check=False)
        return read(report) if report.exists() else {}


def read(report: Path) -> Outcomes:
    """The outcomes in a report in JUnit's form. A test with subtests has several entries, and passes when all do."""
    outcomes: Outcomes = {}
    for case in ET.parse(report).iter("testcase"):
        module, _, rest = case.get("classname", "").partition(".test_")
        parts = [*rest.split("."), case.get("name", "")]
        name = f"{module.replace('.', '/')}/test_{parts[0]}.py::{'::'.join(parts[1:])}"
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        if outcomes.get(name) != "failed":
            outcomes[name] = outcome
    return outcomes


def run_with_retries(broker: str, folder: Path, tests: list[str], further: list[str]) -> tuple[Outcomes, set[str]]:
    """Outcomes, the best of up to three tries of each test; and which tests needed more than one."""
    outcomes = run(broker, folder, tests, further)
    failed_first = {name for name, outcome in outcomes.items() if outcome == "failed"}
    for _ in range(1, TRIES):
        if failed := [name for name, outcome in outcomes.items() if outcome == "failed"]:
            outcomes |= run(broker, folder, failed, ["--tb=no"])
    return outcomes, {name for name in failed_first if outcomes[name] == "passed"}


def compare(found: dict[str, Outcomes], retried: dict[str, set[str]]) -> bool:
    """Print what differs and what fails; whether svcjobs:// passes all that redis:// does."""
    names = sorted({name for outcomes in found.values() for name in outcomes})
    print(f"\nCelery {version('celery')}, kombu {version('kombu')}, redis-py {version('redis')}\n")
    print(f"| test | {' | '.join(f'{broker}://' for broker in found)} |\n|---|{'---|' * len(found)}")
    for name in names:
        row = {broker: outcomes.get(name, "not run") for broker, outcomes in found.items()}
        if len(set(row.values())) > 1 or "failed" in row.values():
            print(f"| {name.removeprefix('t/integration/')} | {' | '.join(row.values())} |")
    for outcome in ("passed", "failed", "skipped"):
        print(f"| {outcome} | {' | '.join(str(list(o.values()).count(outcome)) for o in found.values())} |")
    print(f"| passed at a second or third try | {' | '.join(str(len(names)) for names in retried.values())} |")
    reference = found.get("redis")
    ours = found["svcjobs"]
    if reference is None:
        return bool(ours) and "failed" not in ours.values()
    return bool(reference) and all(
        ours.get(name) == "passed" for name, outcome in reference.items() if outcome == "passed"
    )


def main() -> int:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a choice of tests, on svcjobs:// alone")
    arguments, further = parser.parse_known_args()
    try:
        folder = unpacked("celery", version("celery"), "t", ROOT / ".cache")
    except NoSdist as error:
        print(error)
        return 1
    tests = [f"t/integration/{name}.py" for name in FILES]
    brokers = BROKERS
    if arguments.short:
        brokers, further = ("svcjobs",), ["-k", SHORT, *further]
    found: dict[str, Outcomes] = {}
    retried: dict[str, set[str]] = {}
    for broker in brokers:
        found[broker], retried[broker] = run_with_retries(broker, folder, tests, further)
    return 0 if compare(found, retried) else 1


if __name__ == "__main__":
    sys.exit(main())
