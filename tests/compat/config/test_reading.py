"""Where settings come from, and what comes of them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.app import unsupported
from svcjobs_celery_compat.app.utils import find_app
from svcjobs_celery_compat.exceptions import CDeprecationWarning, ImproperlyConfigured, UnsupportedSettingWarning


@pytest.fixture
def app() -> Iterator[Celery[Any]]:
    with Celery("reading", set_as_current=False) as app:
        yield app


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for modules, in which the process is."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_in_the_current_directory(app: Celery[Any], module: Path) -> None:
    (module / "myconfig.py").write_text("task_default_queue = 'mine'\n")
    app.config_from_object("myconfig")
    assert app.conf.task_default_queue == "mine"
    assert str(module) not in sys.path


def test_an_attribute_of_a_module(app: Celery[Any], module: Path) -> None:
    (module / "many.py").write_text("class Production:\n    task_default_queue = 'production'\n")
    app.config_from_object("many:Production")
    assert app.conf.task_default_queue == "production"


def test_the_environment_names_the_module(app: Celery[Any], module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (module / "named.py").write_text("task_default_queue = 'named'\n")
    monkeypatch.setenv("MY_CONFIG", "named")
    app.config_from_envvar("MY_CONFIG")
    assert app.conf.task_default_queue == "named"
    with pytest.raises(ImproperlyConfigured, match="NO_SUCH"):
        app.config_from_envvar("NO_SUCH")


def test_the_time_zone_is_worked_out_anew_after_it_was_deleted_read_or_not(app: Celery[Any]) -> None:
    del app.timezone
    assert f"{app.timezone}" == "UTC"
    app.conf.timezone = "Europe/Berlin"
    del app.timezone
    assert f"{app.timezone}" == "Europe/Berlin"


def test_a_module_that_is_not_there_is_named(app: Celery[Any]) -> None:
    app.config_from_object("no_such_module")
    with pytest.raises(ImportError, match="no_such_module"):
        app.conf.get("task_default_queue")


def test_changes_win_over_the_source_and_the_source_over_defaults(app: Celery[Any]) -> None:
    app.config_from_object(
        {"CELERY_TASK_DEFAULT_QUEUE": "source", "CELERY_TIMEZONE": "Europe/Berlin"}, namespace="CELERY"
    )
    assert app.conf.task_default_queue == "source"
    app.conf.task_default_queue = "changed"
    assert (app.conf.task_default_queue, app.conf.timezone) == ("changed", "Europe/Berlin")
    assert app.conf.task_default_routing_key == "changed"
    assert app.conf.task_serializer == "json"


def test_the_environment_wins_for_urls(app: Celery[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    app.conf.update(broker_url="memory://", result_backend="cache+memory://")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://broker")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://results")
    assert (app.conf.broker_url, app.conf.broker_read_url) == ("redis://broker", "redis://broker")
    assert app.conf.result_backend == "redis://results"


def test_the_command_line_s_values_have_the_setting_s_type(app: Celery[Any]) -> None:
    arguments = ["task_always_eager=no", "worker.concurrency=(int)3", ".pool=solo", 'task_routes=(dict){"a": "b"}']
    app.config_from_cmdline(arguments, namespace="worker")
    conf = app.conf
    assert (conf.task_always_eager, conf.worker_concurrency, conf.worker_pool) == (False, 3, "solo")
    assert conf.task_routes == {"a": "b"}
    with pytest.raises(ValueError, match=r"broker\.port"):
        app.config_from_cmdline(["broker.port=none"])


def test_new_and_former_names_are_not_mixed(app: Celery[Any]) -> None:
    app.config_from_object({"task_always_eager": True, "worker_pool": "solo", "CELERYD_CONCURRENCY": 3})
    with pytest.raises(ImproperlyConfigured, match=r"CELERYD_CONCURRENCY\s+-> worker_concurrency"):
        app.conf.get("worker_pool")


def test_former_names_are_told_of(app: Celery[Any]) -> None:
    app.config_from_object({"CELERY_ALWAYS_EAGER": True})
    with pytest.warns(CDeprecationWarning, match="CELERY_ALWAYS_EAGER"):
        assert app.conf.maybe_warn_deprecated_settings()


@pytest.fixture
def told_anew() -> Iterator[None]:
    unsupported._warn.cache_clear()
    yield
    unsupported._warn.cache_clear()


@pytest.mark.usefixtures("told_anew")
class TestSettingsWithoutEffect:
    """They warn once, and say what happens instead."""

    def test_it_is_told_what_happens_instead(self, app: Celery[Any]) -> None:
        app.config_from_object(SimpleNamespace(CELERY_WORKER_ETA_TASK_LIMIT=9), namespace="CELERY")
        with pytest.warns(
            UnsupportedSettingWarning, match=r"worker_eta_task_limit has no effect: delayed tasks wait in Redis"
        ):
            assert app.conf.worker_eta_task_limit == 9

    def test_once(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                assert Celery("x", worker_timer="mine", set_as_current=False).conf.worker_timer == "mine"
        assert [str(warning.message).split()[0] for warning in caught] == ["worker_timer"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("worker_prefetch_multiplier", 4),
            ("worker_prefetch_multiplier", 1),
            ("worker_disable_prefetch", True),
        ],
    )
    def test_a_default_and_what_happens_anyway_are_not_worth_a_word(self, name: str, value: Any) -> None:
        app = Celery("x", set_as_current=False, **{name: value})
        assert app.conf.get(name) == value

    def test_each_of_them_is_a_setting(self) -> None:
        from svcjobs_celery_compat.app.defaults import SETTING_KEYS

        assert set(unsupported.INSTEAD) <= SETTING_KEYS
        assert set(unsupported._SAME) <= set(unsupported.INSTEAD)


def test_secrets_are_not_shown(app: Celery[Any]) -> None:
    app.conf.update(
        broker_url="redis://:hunter2@h", result_backend="redis://u:hunter2@h1;u:hunter2@h2/0", redis_password="hunter2"
    )
    assert "hunter2" not in app.conf.humanize()
    assert "hunter2" not in app.bugreport()
    assert app.conf.redis_password == "hunter2"


APP = "from svcjobs_celery_compat import Celery\n{} = Celery('found')\n"


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"proj.py": APP.format("app")}, "proj"),
        ({"proj.py": APP.format("celery")}, "proj"),
        ({"proj.py": APP.format("anything")}, "proj"),
        ({"proj.py": APP.format("other")}, "proj:other"),
        ({"proj/__init__.py": "", "proj/celery.py": APP.format("app")}, "proj"),
        ({"proj/__init__.py": "", "proj/celery.py": APP.format("x")}, "proj.celery"),
    ],
)
def test_how_an_app_is_found(module: Path, files: dict[str, str], name: str) -> None:
    for path, text in files.items():
        (module / path).parent.mkdir(exist_ok=True)
        (module / path).write_text(text)
    assert find_app(name).main == "found"


def test_a_module_without_an_app_says_so(module: Path) -> None:
    (module / "empty_proj.py").write_text("")
    with pytest.raises(AttributeError, match="empty_proj"):
        find_app("empty_proj")


def test_autodiscovery_finds_modules_and_passes_errors_on(app: Celery[Any], module: Path) -> None:
    for package, text in {"one": "found = True\n", "two": None, "three": "import no_such_dependency\n"}.items():
        (module / package).mkdir()
        (module / package / "__init__.py").write_text("")
        if text is not None:
            (module / package / "tasks.py").write_text(text)
    sys.path.insert(0, str(module))
    app.autodiscover_tasks(["one", "two"], force=True)
    assert "one.tasks" in sys.modules
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        app.autodiscover_tasks(["three"], force=True)
