"""Every Lua script says what it takes and takes what it says, and has one stub."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from svcjobs._redis.scripts import script
from tests.server_program import ROOT

LUA = ROOT / "svcjobs" / "_redis" / "lua"
SCRIPTS = sorted(LUA.glob("*.lua"))
FRAGMENTS = sorted((LUA / "fragments").glob("*.lua"))

# -- KEYS[1]    prefix of the queue     -- ARGV[6..8] name, payload, options     -- ARGV[4..]  per job: id, lease
PARAMETER = re.compile(r"-- (KEYS|ARGV)\[(\d+)(\.\.)?(\d*)\] {1,4}(\S.*)")
CONTINUED = re.compile(r"-- {12}\S.*")
RETURNS = re.compile(r"-- returns {4}\S.*")
USE = re.compile(r"\b(KEYS|ARGV)\[(\d+)\]")
VARIABLE_USE = re.compile(r"\bARGV\[(?!\d+\])|#ARGV\b|\bARGV(?=[,)])")
FIRST_VARIABLE = re.compile(r"\b(?:at|i) = (\d+)\b|\bARGV, (\d+)\b")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
class TestScript:
    def test_the_header_has_its_form(self, path: Path) -> None:
        purpose, *rest = _header(path)
        assert re.fullmatch(r"-- [A-Z][^.]*\.", purpose), f"not a one-sentence purpose: {purpose}"
        lines = [line for line in rest if not CONTINUED.fullmatch(line)]
        *parameters, returns = lines
        assert RETURNS.fullmatch(returns), f"the header doesn't end with what is returned: {returns}"
        for line in parameters:
            assert PARAMETER.fullmatch(line), f"not a parameter: {line}"
        assert path.read_text().count("-- returns ") == 1

    def test_parameters_are_documented_in_order_without_a_gap(self, path: Path) -> None:
        for kind in ("KEYS", "ARGV"):
            following = 1
            for first, last in _documented(path, kind):
                assert first == following, f"{kind}[{first}] comes where {kind}[{following}] should"
                following = 10**6 if last is None else last + 1

    def test_it_takes_one_key(self, path: Path) -> None:
        assert _documented(path, "KEYS") == [(1, 1)]

    def test_what_the_code_takes_is_documented(self, path: Path) -> None:
        for kind, index in USE.findall(_code(path)):
            assert _covers(_documented(path, kind), int(index)), f"{kind}[{index}] is used and not documented"

    def test_what_is_documented_is_taken(self, path: Path) -> None:
        code = _code(path)
        used = set(USE.findall(code))
        assert ("KEYS", "1") in used
        starts = {int(number) for match in FIRST_VARIABLE.findall(code) for number in match if number}
        for first, last in _documented(path, "ARGV"):
            if last is None:
                assert first in starts, f"nothing reads on from ARGV[{first}]"
                continue
            for index in range(first, last + 1):
                assert ("ARGV", str(index)) in used or first in starts, f"ARGV[{index}] is documented and not used"

    def test_only_a_documented_tail_is_read_by_a_variable(self, path: Path) -> None:
        if VARIABLE_USE.search(_code(path)):
            first, last = _documented(path, "ARGV")[-1]
            assert last is None or last > first, "ARGV is read by a variable, and no tail is documented"

    def test_it_has_one_stub_of_its_name(self, path: Path) -> None:
        stubs = [name for name, scripts in _stubs() for script_name in scripts if script_name == path.stem]
        assert stubs == [path.stem]

    def test_includes_are_joined_in(self, path: Path) -> None:
        assert "--@include" not in script(path.stem).source


@pytest.mark.parametrize("path", [*SCRIPTS, *FRAGMENTS], ids=lambda path: path.stem)
class TestLua:
    def test_no_payload_passes_through_a_codec(self, path: Path) -> None:
        # cjson turns [] into {} and rounds large integers; fakeredis has none of the others
        assert not re.search(r"\b(cjson|cmsgpack|struct|bit)\.", _code(path))

    def test_no_command_looks_at_all_keys(self, path: Path) -> None:
        assert not re.search(r"['\"](KEYS|SCAN|FLUSHALL|FLUSHDB)['\"]", _code(path), re.IGNORECASE)

    def test_pcall_says_why(self, path: Path) -> None:
        # an error that is swallowed half-way needs a reason: nothing rolls back
        text = path.read_text()
        for function in re.split(r"\n\n", text):
            if re.search(r"\b(redis\.)?pcall\(", _strip_comments(function)):
                assert re.search(r"^-- .*pcall: ", function, re.MULTILINE), f"{path.name}: say why pcall"

    def test_nothing_is_global(self, path: Path) -> None:
        # Redis refuses globals at run time, and only on the line that is reached
        assert not re.search(r"^function \w", _code(path), re.MULTILINE)


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
class TestFragment:
    def test_it_takes_its_values_as_arguments(self, path: Path) -> None:
        assert not re.search(r"\b(KEYS|ARGV)\b", _code(path))

    def test_some_script_uses_it(self, path: Path) -> None:
        texts = [other.read_text() for other in [*SCRIPTS, *FRAGMENTS]]
        assert any(f"--@include {path.stem}\n" in text for text in texts)


def test_every_stub_has_a_script() -> None:
    named = {name for _, scripts in _stubs() for name in scripts}
    assert named == {path.stem for path in SCRIPTS}


def _header(path: Path) -> list[str]:
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("-- "):
            break
        lines.append(line)
    return lines


def _documented(path: Path, kind: str) -> list[tuple[int, int | None]]:
    """First and last index of each documented parameter; None is a tail without end."""
    found = [match for line in _header(path) if (match := PARAMETER.fullmatch(line)) and match[1] == kind]
    return [(int(match[2]), int(match[4]) if match[4] else None if match[3] else int(match[2])) for match in found]


def _covers(documented: list[tuple[int, int | None]], index: int) -> bool:
    return any(first <= index and (last is None or index <= last) for first, last in documented)


def _code(path: Path) -> str:
    return _strip_comments(path.read_text())


def _strip_comments(text: str) -> str:
    return re.sub(r"--.*", "", text)


def _stubs() -> list[tuple[str, list[str]]]:
    """Per function of the stub modules its name and the scripts that it names."""
    modules = [ast.parse(path.read_text()) for path in (ROOT / "svcjobs" / "_redis").glob("*calls.py")]
    functions = [node for module in modules for node in module.body if isinstance(node, ast.FunctionDef)]
    return [(node.name, names) for node in functions if (names := _scripts_named_in(node))]


def _scripts_named_in(function: ast.FunctionDef) -> list[str]:
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return [
        str(call.args[0].value)
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "script" and isinstance(call.args[0], ast.Constant)
    ]
