"""The fixtures for users' tests: apps, settings by a mark, and a worker in a thread."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from svcjobs_celery_compat.contrib.testing.app import Trap
from svcjobs_celery_compat.local import Proxy

CONFTEST = """
import pytest

pytest_plugins = ("svcjobs_celery_compat.contrib.pytest",)


@pytest.fixture(scope="session")
def celery_config():
    return {"task_default_queue": "of-the-config", "result_expires": 5}


@pytest.fixture(scope="session")
def celery_parameters():
    return {"strict_typing": False}


@pytest.fixture(scope="session")
def use_celery_app_trap():
    return True
"""
TESTS = """
import pytest

from svcjobs_celery_compat import current_app, shared_task


@shared_task
def double(x):
    return 2 * x


def test_settings(celery_app):
    assert celery_app.conf.broker_url == "memory://"
    assert celery_app.conf.task_default_queue == "of-the-config"
    assert not celery_app.strict_typing


@pytest.mark.celery(task_default_queue="of-the-mark")
class TestMark:
    def test_class(self, celery_app):
        assert celery_app.conf.task_default_queue == "of-the-mark"
        assert celery_app.conf.result_expires == 5

    @pytest.mark.celery(task_default_queue="of-the-test")
    def test_function(self, celery_app):
        assert celery_app.conf.task_default_queue == "of-the-test"


def test_trap(celery_app):
    with pytest.raises(RuntimeError, match="current_app"):
        current_app.conf


def test_no_trap(celery_app, depends_on_current_app):
    assert current_app.conf.task_default_queue == "of-the-config"


def test_worker(celery_app, celery_worker):
    @celery_app.task
    def mul(x, y):
        return x * y

    celery_worker.reload()
    assert mul.delay(4, 4).get(timeout=10) == 16
    assert celery_app.tasks[double.name].delay(4).get(timeout=10) == 8


def test_async_task(celery_app, celery_worker):
    @celery_app.task(bind=True)
    async def ident(self, x):
        return [self.request.id, x]

    celery_worker.reload()
    result = ident.delay(4)
    assert result.get(timeout=10) == [result.id, 4]


def test_retry_and_error(celery_app, celery_worker):
    @celery_app.task(bind=True, max_retries=2)
    def flaky(self):
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        raise KeyError("at last")

    celery_worker.reload()
    with pytest.raises(KeyError):
        flaky.delay().get(timeout=10)
"""


def test_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_users.py").write_text(TESTS)
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "--strict-markers", "-W", "error"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "8 passed" in done.stdout


def test_mock_may_replace_an_app_that_refuses_to_be_used() -> None:
    holder = SimpleNamespace(app=Proxy(Trap))
    with patch.object(holder, "app") as mocked:
        assert holder.app is mocked
    with pytest.raises(RuntimeError, match="depends on current_app"):
        _ = holder.app.conf
