"""Every code block of README.md and docs/ runs, and every command, link and page that they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from svcjobs.cli import main
from tests.integration.page import Block, PageRun, blocks, is_as_shown, pages
from tests.server_program import ROOT
from tests.servers import RedisServer

MOST_LEFT_OUT = 5
PAGES = pages()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
WITH_BLOCKS = [name for page, name in zip(PAGES, NAMES, strict=True) if list(blocks(page.read_text()))]


# a page starts up to thirty programs; each of its commands has a limit of its own
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path, own_server: RedisServer) -> None:
    page = PageRun(tmp_path, f"127.0.0.1:{own_server.port}")
    try:
        for block in blocks((ROOT / name).read_text()):
            if block.why_not is None:
                page.run(block)
    finally:
        page.close()


def test_every_fence_is_a_block() -> None:
    for path in PAGES:
        fences = re.findall(r"^\s*```", path.read_text(), re.MULTILINE)
        assert len(fences) == 2 * len(list(blocks(path.read_text()))), path


def test_few_blocks_are_left_out_and_each_says_why() -> None:
    left_out = [(path.name, block.line, block.why_not) for path in PAGES for block in blocks(path.read_text())
                if block.why_not is not None]  # fmt: skip
    assert len(left_out) <= MOST_LEFT_OUT, left_out
    assert all(len(why or "") > 10 for _, _, why in left_out)
    markers = sum(path.read_text().count("<!-- not run") for path in PAGES)
    assert markers == len(left_out), "a marker stands right before its block"


def test_a_file_of_a_page_is_used_by_it() -> None:
    for path in PAGES:
        text = path.read_text()
        for name in re.findall(r"```python\n# (\w+)\.py\n", text):
            ways = rf"(?:python {name}\.py|-A {name}\b|import {name}\b|from {name} import|_MODULE={name}\b)"
            uses = re.findall(ways, text)
            assert uses, f"{path}: nothing runs {name}.py"


# on the benchmarks' pages `svcjobs async` and the like are names of contenders
@pytest.mark.parametrize("name", [name for name in NAMES if "benchmarks" not in name])
def test_every_command_that_is_named_exists(name: str) -> None:
    page = ROOT / name
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for words in re.findall(r"`(svcjobs [^`]+)`", prose):
        command: click.Command = main
        for word in words.split()[1:]:
            context = click.Context(command)
            if word.startswith("-"):
                options = [option for parameter in command.get_params(context) for option in parameter.opts]
                assert word in options, f"{words}: no option {word}"
            elif isinstance(command, click.Group):
                found = command.get_command(context, word)
                assert found is not None, f"{words}: no command {word}"
                command = found


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), target
        if anchor:
            assert anchor in {_anchor(heading) for heading in re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)}


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for path in sorted((ROOT / "docs").glob("*.md")):
        assert path.name == "index.md" or f"]({path.name})" in index, path.name
    assert "](docs/index.md)" in (ROOT / "README.md").read_text()


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


# the comparison itself: were it too loose, the pages would prove nothing


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("one\n", "one\n", True),
        ("one\n", "one\ntwo\n", False),
        ("one\n", "two\n", False),
        ("a … c\n", "a  b  c\n", True),
        ("a … c\n", "a b d\n", False),
        ("…\nlast\n", "first\nsecond\nlast\n", True),
        ("…\nlast\n", "first\nlast\nmore\n", False),
        ("…\n", "", True),
        ("[1]\n", "1\n", False),
    ],
)
def test_shown_and_printed_are_compared_loosely(shown: str, printed: str, same: bool) -> None:
    assert is_as_shown(shown, printed) is same


@pytest.mark.parametrize(
    "block",
    [
        Block("python", "1 / 0\n", 1, None),
        Block("console", "$ false\n", 1, None),
        Block("console", "$ echo one\ntwo\n", 1, None),
        Block("bash", "false\n", 1, None),
        Block("json", "{,}", 1, None),
        Block("yaml", "a: [", 1, None),
        Block("dockerfile", "RUNS x\n", 1, None),
        Block("basic", "10 PRINT\n", 1, None),
    ],
    ids=lambda block: f"{block.language}-{block.text!r}",
)
def test_a_wrong_block_is_noticed(block: Block, tmp_path: Path) -> None:
    page = PageRun(tmp_path, "127.0.0.1:1")
    try:
        with pytest.raises(AssertionError):
            page.run(block)
    finally:
        page.close()
