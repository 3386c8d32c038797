"""Packages for Celery, tested by their own tests: on Celery, and through the alias.

Run: ``python -m tests.compat.alias.third_party`` (a minute and a half). Their source distributions, and what only their
tests need, come from the package index. Exit status 0 when each passes as many tests as it is known to, and no test
that passes on Celery fails through the alias.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.compat.transport.sdist import NoSdist, unpacked
from tests.server_program import ROOT

CACHE = ROOT / ".cache" / "third-party"
SIDES = {"Celery": "", "the alias": "1"}
LONGEST_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Package:
    """A package and its tests.

    Args:
        name: of the source distribution.
        release: its version.
        tests: where they are in it.
        passing: how many are known to pass on Celery.
        needs: what they need besides what is installed here; older releases come before those.
        options: of pytest.
        environment: variables.
    """

    name: str
    release: str
    tests: str
    passing: int
    needs: Sequence[str]
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def sdist(self) -> str:
        """Its name in file names."""
        return self.name.replace("-", "_")


PACKAGES = (
    Package("celery-redbeat", "2.4.2", "tests", 82, ("python-dateutil", "six", "tenacity")),
    Package(
        "django-celery-beat", "2.9.0", "t/unit", 125,
        ("pytest<9", "pluggy", "iniconfig", "pytest-django<5", "django-timezone-field>=5", "python-crontab",
         "cron-descriptor<2"),
        ("-p", "pytest_django.plugin", "-p", "celery.contrib.pytest"),
        {"DJANGO_SETTINGS_MODULE": "t.proj.settings", "CELERY_BROKER_URL": "memory://"},
    ),
)  # fmt: skip


def outcomes(report: Path) -> dict[str, str]:
    """What became of each test, in a report in JUnit's form."""
    found = {}
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        found[name] = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
    return found


def run(package: Package) -> dict[str, dict[str, str]]:
    """The outcomes on each side, both run at once.

    Raises:
        NoSdist: something can't be had from the package index.
    """
    home = unpacked(package.sdist, package.release, "", CACHE)
    needs = CACHE / f"{package.sdist}-needs"
    if not needs.is_dir():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(needs)]
        if subprocess.run([*install, *package.needs], check=False).returncode:
            raise NoSdist(f"what the tests of {package.name} need can't be installed")
    with tempfile.TemporaryDirectory() as scratch:
        reports = {side: Path(scratch, f"{number}.xml") for number, side in enumerate(SIDES)}
        running = []
        for side, alias in SIDES.items():
            environment = {
                **os.environ, **package.environment, "SVCJOBS_AS_CELERY": alias, "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": f"{needs}:{home}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            }  # fmt: skip
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *package.options]
            command += [package.tests, f"--junitxml={reports[side]}"]
            running.append(subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.DEVNULL))
        for process in running:
            process.wait(LONGEST_SECONDS)
        return {side: outcomes(report) if report.exists() else {} for side, report in reports.items()}


def main() -> int:
    """Run all, and print a table."""
    code = 0
    print("| package | Celery | the alias |\n|---|---|---|")
    for package in PACKAGES:
        try:
            found = run(package)
        except NoSdist as error:
            print(error)
            return 1
        passed = {side: {name for name, outcome in found[side].items() if outcome == "passed"} for side in SIDES}
        counts = [f"{len(passed[side])} of {len(found[side])}" for side in SIDES]
        print(f"| {package.name} {package.release} | {' | '.join(counts)} |", flush=True)
        for name in sorted(passed["Celery"] - passed["the alias"]):
            print(f"passes on Celery, not through the alias: {name}")
            code = 1
        if len(passed["the alias"]) < package.passing:
            print(f"{package.name}: {package.passing} tests are known to pass")
            code = 1
    return code


if __name__ == "__main__":
    raise SystemExit(main())
