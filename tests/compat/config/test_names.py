"""Every setting that Celery documents is known, by its present name and by the former ones."""

from __future__ import annotations

import pytest
from celery.app import defaults as celery_defaults

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.app import defaults
from tests.compat.config.documented import FORMER, SETTINGS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_documented_setting_is_known(name: str) -> None:
    assert name in defaults.SETTING_KEYS
    app = Celery("known", set_as_current=False)
    assert getattr(app.conf, name, "missing") != "missing"


def test_all_that_celery_knows_have_its_defaults() -> None:
    differing = {
        name: (default, defaults.DEFAULTS.get(name, "missing"))
        for name, default in celery_defaults.DEFAULTS.items()
        if defaults.DEFAULTS.get(name, "missing") != default
    }
    assert differing == {}


def test_all_former_names_that_celery_knows() -> None:
    assert celery_defaults._TO_NEW_KEY.items() <= defaults._TO_NEW_KEY.items()
    for name, former in celery_defaults._TO_OLD_KEY.items():
        assert defaults._TO_OLD_KEY[name] == former


@pytest.mark.filterwarnings("ignore::svcjobs_celery_compat.exceptions.UnsupportedSettingWarning")
@pytest.mark.parametrize(("former", "name"), FORMER.items())
def test_a_former_name_sets_it(former: str, name: str) -> None:
    app = Celery("former", set_as_current=False)
    value = object()
    app.config_from_object({former: value})
    assert app.conf.get(name) is value
    assert app.conf.get(former) is value


@pytest.mark.filterwarnings("ignore::svcjobs_celery_compat.exceptions.UnsupportedSettingWarning")
@pytest.mark.parametrize("name", SETTINGS)
def test_django_s_way_of_naming_it(name: str) -> None:
    app = Celery("django", set_as_current=False)
    value = object()
    app.config_from_object({f"CELERY_{name.upper()}": value}, namespace="CELERY")
    assert app.conf.get(name) is value
