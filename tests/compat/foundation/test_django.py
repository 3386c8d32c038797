"""A Django project: set up before tasks are imported, which are found; connections are closed around tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PROJECT = {
    "shop/__init__.py": "",
    "shop/settings.py": """
SECRET_KEY = "of a test"
INSTALLED_APPS = ["orders", "orders.plugins.PluginsConfig"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}}
TIME_ZONE = "Europe/Berlin"
USE_TZ = True
CELERY_BROKER_URL = "memory://"
CELERY_RESULT_BACKEND = "cache+memory://"
CELERY_TASK_DEFAULT_QUEUE = "shop"
""",
    "shop/celery.py": """
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
""",
    "orders/__init__.py": "",
    "orders/models.py": """
from django.db import models
class Order(models.Model):
    paid = models.BooleanField(default=False)
""",
    "orders/tasks.py": """
from celery import shared_task
from orders.models import Order
@shared_task
def pay(number):
    return Order.objects.filter(pk=number).update(paid=True)
""",
    "orders/plugins/__init__.py": """
from django.apps import AppConfig
class PluginsConfig(AppConfig):
    name = "orders.plugins"
""",
    "orders/plugins/tasks.py": """
from celery import shared_task
@shared_task
def plug(): ...
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(project: Path, code: str) -> str:
    """Run code in a process whose celery is ours, in the project's folder."""
    done = subprocess.run(
        [sys.executable, "-c", f"import svcjobs_celery_compat.alias\nfrom shop.celery import app\n{code}"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_settings_and_tasks_of_installed_apps(project: Path) -> None:
    code = """
app.loader.import_default_modules()
app.finalize()
print(sorted(name for name in app.tasks if name.startswith("orders")))
print(app.conf.task_default_queue, app.conf.timezone, app.conf.broker_url)
from django.utils import timezone
print(app.loader.now(utc=False).tzinfo == timezone.now().tzinfo)
"""
    assert run(project, code).splitlines() == [
        "['orders.plugins.tasks.plug', 'orders.tasks.pay']",
        "shop Europe/Berlin memory://",
        "True",
    ]


def test_a_task_is_sent_when_the_transaction_is_committed(project: Path) -> None:
    code = """
app.loader.import_default_modules()
from django.db import transaction
from orders.tasks import pay
from celery.signals import after_task_publish
sent = []
after_task_publish.connect(lambda **kwargs: sent.append(kwargs["headers"]["task"]), weak=False)
with transaction.atomic():
    assert pay.delay_on_commit(1) is None
    assert pay.apply_async_on_commit((2,), countdown=3) is None
    print(sent)
print(sent)
try:
    with transaction.atomic():
        pay.delay_on_commit(3)
        raise LookupError
except LookupError:
    pass
print(len(sent))
"""
    assert run(project, code).splitlines() == ["[]", "['orders.tasks.pay', 'orders.tasks.pay']", "2"]


def test_connections_are_closed_around_tasks_of_a_worker(project: Path) -> None:
    code = """
from types import SimpleNamespace
from celery import signals
signals.worker_init.send(sender=SimpleNamespace(app=app, pool_cls="prefork"))
app.loader.import_default_modules()
from django.db import connection
from orders.tasks import pay
def task(eager):
    return SimpleNamespace(request=SimpleNamespace(is_eager=eager))
def is_open(signal, eager=False):
    connection.ensure_connection()
    signal.send(sender=task(eager))
    return connection.connection is not None
print(is_open(signals.task_prerun), is_open(signals.task_postrun), is_open(signals.task_postrun, eager=True))
connection.ensure_connection()
signals.worker_process_init.send(sender=None)
print(connection.connection)
"""
    assert run(project, code).splitlines() == ["False False True", "None"]


def test_a_worker_of_another_app_is_left_alone(project: Path) -> None:
    code = """
from types import SimpleNamespace
from celery import Celery, signals
other = Celery("other", fixups=[], set_as_current=False)
signals.worker_init.send(sender=SimpleNamespace(app=other, pool_cls="prefork"))
from django.db import connection
connection.ensure_connection()
signals.task_postrun.send(sender=SimpleNamespace(request=SimpleNamespace(is_eager=False)))
print(connection.connection is not None)
"""
    assert run(project, code) == "True\n"


def test_a_broken_project_says_what_is_wrong(project: Path) -> None:
    (project / "orders" / "models.py").write_text("import no_such_dependency\n")
    code = """
try:
    app.loader.import_default_modules()
except ModuleNotFoundError as exc:
    print(exc)
"""
    assert "no_such_dependency" in run(project, code)
