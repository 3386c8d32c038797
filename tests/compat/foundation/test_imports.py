"""Modules are found by their names as Celery finds them."""

from __future__ import annotations

import json
import json.decoder
from typing import Any

import celery.utils.imports
import pytest

from svcjobs_celery_compat.utils import imports

SIDES = pytest.mark.parametrize("side", [imports, celery.utils.imports], ids=["ours", "Celery's"])


@SIDES
def test_a_module_is_imported_and_returned(side: Any) -> None:
    assert side.find_module("json") is json
    assert side.find_module("json.decoder") is json.decoder


@SIDES
@pytest.mark.parametrize("name", ["absent_module", "json.absent_module", "absent_module.within"])
def test_a_module_that_is_not_there_is_an_import_error(side: Any, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="absent_module"):
        side.find_module(name)


@SIDES
def test_a_parent_without_a_path_is_no_package(side: Any) -> None:
    with pytest.raises(side.NotAPackage, match=r"^json\.decoder$"):
        side.find_module("json.decoder.within")
