"""Pages of documentation, and the running of their code blocks.

Blocks of a page run in order, in a folder and on a server of their own, by their language:

- ``python``: in one process per page, names shared. A block whose first line is ``# name.py`` is a file of that name.
- ``output``: what the Python block above printed.
- ``console``: lines that begin with ``$`` are commands, the others what the command above prints. All of a page go to
  one bash. One that goes on (a worker) runs in the background to the end of the page, and has to end well at SIGTERM.
- ``bash``, ``sh``: commands only.
- ``yaml``, ``json``, ``toml``, ``dockerfile``: are parsed. ``text`` is no code.

What is shown is compared loosely: ``…`` is anything in a line, a line of it any number of lines; blanks don't count.
A block after ``<!-- not run: why -->`` is left out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.eventually import eventually
from tests.server_program import ROOT

DOCUMENTED_SERVER = "localhost:6379"
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+) -->\n+)?^ *```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"# (\w+\.py)\n")
UP = re.compile(r": ready$|: schedule .*, next at|^the dashboard is at ", re.MULTILINE)
"""What a worker, a scheduler or a dashboard says when it can be stopped in an orderly way."""
GOES_ON = re.compile(r"(\w+=\S* )*svcjobs (worker|beat|status .*--watch)\b(?!.*(--help|--version))")
DOCKER = re.compile(r"(FROM|WORKDIR|COPY|RUN|CMD|ENV|EXPOSE|USER|ENTRYPOINT|ARG|LABEL) \S")
COMMAND_SECONDS = 90

PROGRAMS = Path(__file__).with_name("programs")
"""Has a redis-cli."""


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: its language, its text, the line it begins at, and why it isn't run, if so."""

    language: str
    text: str
    line: int
    why_not: str | None


def pages() -> list[Path]:
    """README.md and all pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> Iterator[Block]:
    """The code blocks of a page."""
    for found in FENCE.finditer(text):
        yield Block(found["language"], found["text"], text[: found.start()].count("\n") + 1, found["why"])


def is_as_shown(shown: str, printed: str, *, whole: bool = True) -> bool:
    """Whether ``printed``, or its beginning, is what a page shows."""
    pattern = ""
    for line in _lines(shown):
        pattern += r"(?:[^\n]*\n)*?" if line == "…" else re.escape(line).replace("…", r"[^\n]*") + r"\n"
    text = "".join(f"{line}\n" for line in _lines(printed))
    return bool((re.fullmatch if whole else re.match)(pattern, text))


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


class PageRun:
    """One run of a page's blocks.

    Args:
        folder: where commands run and files go.
        server: ``host:port`` of the Redis server, takes the place of the documented one.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder
        self._server = server
        self._commands = 0
        self._code = 0
        self._printed = ""
        self._background: list[tuple[str, str]] = []
        own = {name: value for name, value in os.environ.items() if not name.startswith(("JOB", "REDIS", "UPSTASH"))}
        # last: a redis-cli that is installed comes first
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(PROGRAMS)])
        environment = own | {"REDIS_URL": f"redis://{server}/0", "PATH": path, "PYTHONUNBUFFERED": "1"}
        self._shell = self._start(["bash"], environment, stdout=subprocess.DEVNULL)
        python = [sys.executable, "-P", str(Path(__file__).with_name("page_python.py"))]
        self._python = self._start(python, environment | {"PYTHONPATH": str(folder)}, stdout=subprocess.PIPE)

    def _start(self, command: list[str], environment: dict[str, str], stdout: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=self._folder, env=environment, stdin=subprocess.PIPE, stdout=stdout, text=True
        )

    def run(self, block: Block) -> None:
        """Run one block; raises AssertionError when it fails or prints something else than is shown."""
        runners: dict[str, Callable[[str], object]] = {
            "python": self._run_python, "output": self._compare, "console": self._run_console, "bash": self._run_bash,
            "sh": self._run_bash, "yaml": yaml.safe_load, "json": json.loads, "toml": tomllib.loads,
            "dockerfile": _check_dockerfile, "text": str,
        }  # fmt: skip
        assert block.language in runners, f"line {block.line}: give the block a language of {', '.join(runners)}"
        try:
            runners[block.language](block.text.replace(DOCUMENTED_SERVER, self._server))
        except Exception as error:
            raise AssertionError(f"the {block.language} block at line {block.line}: {error}") from error

    def close(self) -> None:
        """End everything; raises AssertionError when a command in the background didn't end well."""
        codes = {}
        for command, pid in self._background:
            self._do(f"kill -TERM {pid} && wait {pid}")
            codes[command] = self._code
        # what a page leaves to its reader to end
        self._do('left=$(jobs -p); [ -z "$left" ] || kill -TERM $left; wait')
        for process in (self._shell, self._python):
            process.communicate(timeout=COMMAND_SECONDS)
        assert not any(codes.values()), f"exit codes {codes}"

    def _run_python(self, code: str) -> None:
        if named := FILE.match(code):
            (self._folder / named[1]).write_text(code)
            return
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps(code) + "\n")
        self._python.stdin.flush()
        answer = json.loads(self._python.stdout.readline() or '{"error": "the process ended"}')
        assert answer.get("error") is None, answer["error"]
        self._printed = answer["printed"]

    def _compare(self, shown: str) -> None:
        assert is_as_shown(shown, self._printed), f"it printed\n{self._printed}"

    def _run_bash(self, text: str) -> None:
        self._run_console("".join(f"$ {line}\n" for line in text.replace("\\\n", "").splitlines() if line.strip()))

    def _run_console(self, text: str) -> None:
        parts = re.split(r"^\$ ", text.replace("\\\n", ""), flags=re.MULTILINE)
        assert not parts[0].strip(), "the block doesn't begin with a command"
        commands = [part.partition("\n")[::2] for part in parts[1:]]
        for number, (command, shown) in enumerate(commands):
            if GOES_ON.match(command) and not command.endswith("&"):
                self._leave_running(command, shown)
                continue
            if command.startswith("sleep ") and number and commands[number - 1][0].endswith("&"):
                self._until_ready(commands[number - 1][0])  # on a busy machine that takes longer than the page says
                continue
            printed = self._do(command).read_text()
            asked = number + 1 < len(commands) and commands[number + 1][0].startswith("echo $?")
            assert asked or self._code == 0, f"`{command}` ended with {self._code}:\n{printed}"
            if shown.strip():
                assert is_as_shown(shown, printed), f"`{command}` printed\n{printed}"

    def _do(self, command: str) -> Path:
        """Run a command in the page's shell to its end; returns the file with its output."""
        self._commands += 1
        output, code = self._folder / f".output-{self._commands}", self._folder / f".code-{self._commands}"
        self._tell(f"(exit {self._code})\n{{ {command}\n}} > {output} 2>&1 < /dev/null")
        self._tell(f"echo $? > {code}.new; mv {code}.new {code}")
        eventually(code.exists, COMMAND_SECONDS, f"the end of `{command}`")
        self._code = int(code.read_text())
        return output

    def _until_ready(self, command: str) -> None:
        """Wait for what the last command left in the background, and which logs to the same output."""
        output = self._folder / f".output-{self._commands}"
        eventually(lambda: UP.search(output.read_text()), COMMAND_SECONDS, f"`{command}` is ready")

    def _leave_running(self, command: str, shown: str) -> None:
        output = self._folder / f".background-{len(self._background)}"
        output.touch()  # the shell may not have begun it yet when it is read first
        pid = self._do(f"{command} > {output} 2>&1 & echo $!").read_text().strip()
        self._background.append((command, pid))

        def shows() -> bool:
            return "ready" in output.read_text() and is_as_shown(f"{shown}\n…", output.read_text())

        try:
            eventually(shows, COMMAND_SECONDS)
        except AssertionError:
            raise AssertionError(f"`{command}` printed\n{output.read_text()}") from None

    def _tell(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text + "\n")
        self._shell.stdin.flush()


def _check_dockerfile(text: str) -> None:
    for line in text.replace("\\\n", "").splitlines():
        assert not line.strip() or line.startswith("#") or DOCKER.match(line), f"{line!r} is no instruction"
        if line.startswith("CMD ["):
            json.loads(line.removeprefix("CMD "))
