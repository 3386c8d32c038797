"""``import celery`` gives the facade, although Celery is installed beside it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs Python code, or arguments of Python, in a process of its own."""

    def run(*code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        arguments = ["-c", code[0]] if len(code) == 1 else list(code)
        return subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def succeeds(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_modules_and_classes_are_the_same_objects(run: Run) -> None:
    code = """
import svcjobs_celery_compat.alias
import celery, celery.app.base, svcjobs_celery_compat
from celery import Celery, shared_task
from celery.exceptions import Retry
from svcjobs_celery_compat import exceptions
assert celery is svcjobs_celery_compat
assert celery.app.base is svcjobs_celery_compat.app.base
assert Retry is exceptions.Retry
assert celery.__spec__.name == exceptions.__spec__.name.partition(".")[0] == "svcjobs_celery_compat"
assert "collider" not in celery.VERSION_BANNER
print(Celery("x", set_as_current=False).main)
"""
    assert succeeds(run(code)) == "x\n"


def test_every_module_is_served(run: Run) -> None:
    code = """
import svcjobs_celery_compat.alias, svcjobs_celery_compat, importlib, pkgutil, sys
skipped = ("__main__", ".transport", ".contrib.django")
for module in pkgutil.walk_packages(svcjobs_celery_compat.__path__, "celery."):
    if not any(part in module.name for part in skipped):
        name = module.name.replace("celery", "svcjobs_celery_compat", 1)
        assert importlib.import_module(module.name) is importlib.import_module(name), name
foreign = [name for name, module in sys.modules.items()
           if name.partition(".")[0] == "celery" and not module.__name__.startswith("svcjobs_celery_compat")]
print(foreign)
"""
    assert succeeds(run(code)) == "[]\n"


def test_a_module_that_is_not_here_is_not_taken_from_celery(run: Run) -> None:
    code = """
import svcjobs_celery_compat.alias
try:
    import celery.backends.mongodb
except ModuleNotFoundError as exc:
    print(exc.name)
"""
    assert succeeds(run(code)) == "celery.backends.mongodb\n"


def test_after_celery_itself_it_is_an_error(run: Run) -> None:
    code = """
import celery.states
try:
    import svcjobs_celery_compat.alias
except ImportError as exc:
    print(exc)
import sys
assert celery.states.__name__ == "celery.states"
assert "svcjobs_celery_compat.states" not in sys.modules
"""
    told = succeeds(run(code))
    assert "SVCJOBS_AS_CELERY=1" in told
    assert "was imported from" in told


def test_a_second_import_changes_nothing(run: Run) -> None:
    code = """
import svcjobs_celery_compat.alias as alias, sys
import celery
before = list(sys.meta_path)
alias.install()
assert sys.meta_path == before
"""
    succeeds(run(code))


def test_the_metadata_tell_the_version_whose_api_it_is(run: Run) -> None:
    code = """
import svcjobs_celery_compat.alias
import celery, importlib.metadata as metadata
celery_is, = metadata.distributions(name="celery", path=[])
assert celery_is.version == metadata.version("celery") == celery.__version__
assert metadata.version("redis") != celery.__version__
assert not list(metadata.entry_points(group="celery.none"))
"""
    succeeds(run(code))


def test_pickles_of_celery_are_read(run: Run) -> None:
    from celery.exceptions import Retry

    pickled = pickle.dumps(Retry("later", when=3))
    code = f"""
import svcjobs_celery_compat.alias, pickle
exc = pickle.loads({pickled!r})
print(type(exc).__module__, exc)
"""
    assert succeeds(run(code)) == "svcjobs_celery_compat.exceptions later\n"


def test_names_in_a_configuration_are_ours(run: Run) -> None:
    code = """
from svcjobs_celery_compat.utils.imports import symbol_by_name
print(symbol_by_name("celery.utils.log:get_logger").__module__)
"""
    assert succeeds(run(code)) == "svcjobs_celery_compat.utils.log\n"


class TestStartUpFile:
    """``svcjobs_as_celery.pth``, which the wheel installs."""

    CODE = """
import site
site.addsitedir({folder!r})
import celery
print(celery.__name__)
"""

    @pytest.fixture
    def code(self, tmp_path: Path) -> str:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "svcjobs_as_celery.pth").write_text((ROOT / "svcjobs_as_celery.pth").read_text())
        return self.CODE.format(folder=str(tmp_path / "site"))

    @pytest.mark.parametrize("value", ["1", "true"])
    def test_the_variable_switches_it_on(self, run: Run, code: str, value: str) -> None:
        assert succeeds(run(code, SVCJOBS_AS_CELERY=value)) == "svcjobs_celery_compat\n"

    @pytest.mark.parametrize("value", ["", "0", "no"])
    def test_without_it_celery_is_celery(self, run: Run, code: str, value: str) -> None:
        assert succeeds(run(code, SVCJOBS_AS_CELERY=value)) == "celery\n"

    def test_the_wheel_has_it(self) -> None:
        import tomllib

        wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert wheel["force-include"] == {"svcjobs_as_celery.pth": "svcjobs_as_celery.pth"}


def test_the_program(run: Run, tmp_path: Path) -> None:
    """``python -m celery`` under the alias."""
    (tmp_path / "sitecustomize.py").write_text("import svcjobs_celery_compat.alias\n")
    told = succeeds(run("-m", "celery", "--version", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"))
    assert "svcjobs" in told


def test_the_worker_s_switch(run: Run, tmp_path: Path) -> None:
    """``svcjobs worker --as-celery``: the application's ``celery`` is ours, and the options are Celery's."""
    (tmp_path / "shop.py").write_text("from celery import Celery\nprint(Celery.__module__)\napp = Celery('shop')\n")
    told = succeeds(run("-m", "svcjobs", "worker", "--as-celery", "-A", "shop", "--help"))
    assert told.startswith("svcjobs_celery_compat.")
    assert "--max-tasks-per-child" in told
