"""From ``module:function`` to the function, or to a sentence that helps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from svcjobs.errors import ConfigurationError
from svcjobs.targets import TargetAttributeMissing, TargetModuleMissing, resolve_target


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules can be imported from; what was imported is forgotten at the end."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def test_a_target_names_a_function_or_an_attribute_of_one() -> None:
    assert resolve_target("json:loads") is json.loads
    assert resolve_target(" json.decoder:JSONDecoder.decode ") is json.JSONDecoder.decode


@pytest.mark.parametrize(
    "text", ["", "json", "json:", ":loads", "json:loads:x", "json.loads", ".json:loads", "a b:c", "json:dumps()"]
)
def test_another_form_is_refused_with_the_right_one(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write module:function"):
        resolve_target(text)


@pytest.mark.parametrize(
    ("target", "missing"), [("nowhere_at_all:f", "nowhere_at_all"), ("json.nowhere.deep:f", "json.nowhere")]
)
def test_a_missing_module_is_named(target: str, missing: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"no module '{missing}'") as caught:
        resolve_target(target)
    assert isinstance(caught.value, TargetModuleMissing)
    assert isinstance(caught.value, ConfigurationError)
    assert caught.value.name == missing


@pytest.mark.parametrize(
    ("target", "says"),
    [("json:nothing", "json has no attribute 'nothing'"), ("json:JSONDecoder.no", "JSONDecoder has no attribute 'no'")],
)
def test_a_missing_attribute_is_named(target: str, says: str) -> None:
    with pytest.raises(AttributeError, match=says) as caught:
        resolve_target(target)
    assert isinstance(caught.value, TargetAttributeMissing)
    assert isinstance(caught.value, ConfigurationError)


def test_a_module_that_imports_something_missing_isnt_itself_missing(folder: Path) -> None:
    (folder / "needs_more.py").write_text("import surely_not_installed\n")
    with pytest.raises(ConfigurationError, match="needs_more imports surely_not_installed") as caught:
        resolve_target("needs_more:f")
    assert not isinstance(caught.value, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("1 +", r"SyntaxError: invalid syntax \(breaks.py, line 1\)$"),
        ("\n1 / 0", r"ZeroDivisionError: division by zero \(breaks.py, line 2\)$"),
    ],
)
def test_a_module_that_raises_is_reported_with_its_error_and_line(folder: Path, source: str, says: str) -> None:
    (folder / "breaks.py").write_text(source)
    with pytest.raises(ConfigurationError, match=f"importing breaks raised {says}"):
        resolve_target("breaks:f")
