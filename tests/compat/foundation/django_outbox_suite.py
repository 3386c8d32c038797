"""The suite of the outbox stores over Django's ORM; a pytest session of its own, since Django has one set of settings.

``DJANGO_DATABASE`` is the entry of ``DATABASES`` as JSON. What runs here is in :mod:`tests.unit.test_outbox`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import django
import pymysql
import pytest
from django.conf import settings
from django.core.management import call_command

from svcjobs.clock import MovableClock
from tests.unit import test_outbox as suite

pymysql.install_as_MySQLdb()
settings.configure(
    DATABASES={"default": json.loads(os.environ["DJANGO_DATABASE"])},
    INSTALLED_APPS=["svcjobs_celery_compat.contrib.django.outbox"],
    USE_TZ=True,
    TIME_ZONE="Asia/Kolkata",
)
django.setup()

from svcjobs_celery_compat.contrib.django.outbox.models import Message  # noqa: E402
from svcjobs_celery_compat.contrib.django.outbox.store import DjangoOutboxStore  # noqa: E402

clock = suite.clock
for name, test in list(vars(suite).items()):
    if name.startswith("test_") and "engine" not in test.__code__.co_varnames[: test.__code__.co_argcount]:
        globals()[name] = test


@pytest.fixture(scope="session", autouse=True)
def _table() -> Iterator[None]:
    call_command("migrate", verbosity=0)
    yield
    call_command("migrate", "svcjobs_outbox", "zero", verbosity=0)


@pytest.fixture
def outbox(clock: MovableClock) -> Iterator[DjangoOutboxStore]:
    yield DjangoOutboxStore(clock=clock)
    Message.objects.all().delete()


def test_nothing_is_missing_in_the_migration() -> None:
    call_command("check", fail_level="WARNING", databases=["default"])
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_a_broken_row_keeps_no_other_from_moving(outbox: DjangoOutboxStore, caplog: pytest.LogCaptureFixture) -> None:
    broken, good = outbox.enqueue("a", {}), outbox.enqueue("a", {})
    Message.objects.filter(id=broken.id).update(payload="no json")
    assert [message.id for message in outbox.fetch_many(10)] == [good.id]
    assert f"outbox message {broken.id} can't be read" in caplog.text
    assert outbox.backlog()[0].refused == 1
