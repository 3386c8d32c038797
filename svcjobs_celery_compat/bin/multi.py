"""``celery multi``: several workers in the background.

Examples::

    $ celery multi start Leslie -E                     # one worker with that name
    $ celery multi start Leslie -E --pidfile=/var/run/celery/%n.pid --logfile=/var/log/celery/%n%I.log
    $ celery multi restart Leslie -E --pidfile=…       # needs the same arguments again: they are kept nowhere
    $ celery multi stop Leslie --pidfile=…
    $ celery multi start 3 -c 3                        # celery1@host, celery2@host and celery3@host
    $ celery multi start 3 --range-prefix=worker -c 3
    $ celery multi start image video data -c 3         # by name
    $ celery multi start 10 -l INFO -Q:1-3 images,video -Q:4,5 data -Q default -l:4,5 DEBUG
    $ celery multi show 10 …                           # only shows the commands

Commands: start, stop, stopwait, stop_verify, restart, kill, show, names, get, expand, help.
Options of multi itself: --nosplash, --quiet, --verbose, --no-color.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import click

from svcjobs_celery_compat import VERSION_BANNER
from svcjobs_celery_compat.apps.multi import Cluster, MultiParser, NamespacedOptionParser
from svcjobs_celery_compat.bin.base import CeleryCommand, handle_preload_options
from svcjobs_celery_compat.bin.celery import TARGET
from svcjobs_celery_compat.platforms import EX_FAILURE, EX_OK
from svcjobs_celery_compat.utils.text import pluralize

USAGE = """\
usage: multi start <node1 node2 nodeN|range> [worker options]
       multi stop <n1 n2 nN|range> [-SIG (default: -TERM)]
       multi restart <n1 n2 nN|range> [-SIG] [worker options]
       multi kill <n1 n2 nN|range>

       multi show <n1 n2 nN|range> [worker options]
       multi get hostname <n1 n2 nN|range> [-qv] [worker options]
       multi names <n1 n2 nN|range>
       multi expand template <n1 n2 nN|range>
       multi help
"""


class MultiTool:
    """The commands.

    Args:
        env: environment of the workers.
        cmd: the command of each.
        out: writes a line.
    """

    def __init__(self, env: Any = None, cmd: str | None = None, out: Callable[[str], object] = click.echo) -> None:
        self.env = env
        self.cmd = cmd
        self._out = out
        self.retcode = EX_OK
        self.quiet = self.verbose = False
        self.commands: dict[str, Callable[..., Any]] = {
            "start": self.start, "show": self.show, "stop": self.stop, "stopwait": self.stopwait,
            "stop_verify": self.stopwait, "restart": self.restart, "kill": self.kill, "names": self.names,
            "expand": self.expand, "get": self.get, "help": self.help,
        }  # fmt: skip

    def execute_from_commandline(self, argv: Sequence[str], cmd: str | None = None) -> int:
        """Obey ``multi <command> …``; returns the exit code."""
        self.cmd = cmd if cmd is not None else self.cmd
        rest = list(argv)[1:]
        for flag in ("--nosplash", "--no-color"):
            if flag in rest:
                rest.remove(flag)
        self.quiet = self._taken(rest, "--quiet", "-q")
        self.verbose = self._taken(rest, "--verbose")
        if not rest or rest[0].startswith("-"):
            self._out(USAGE)
            return EX_FAILURE
        command = self.commands.get(rest[0])
        if command is None:
            self._out(f"Invalid command: {rest[0]}\n\n{USAGE}")
            return EX_FAILURE
        return command(rest[1:]) or EX_OK

    @staticmethod
    def _taken(rest: list[str], *flags: str) -> bool:
        found = [flag for flag in flags if flag in rest]
        for flag in found:
            rest.remove(flag)
        return bool(found)

    def note(self, text: str) -> None:
        """Write a line, unless it is to be quiet."""
        if not self.quiet:
            self._out(text)

    def _nodes(self, argv: Sequence[str]) -> tuple[list[Any], int]:
        signals: list[signal.Signals] = []
        rest: list[str] = []
        for arg in argv:
            name = arg[1:].upper().removeprefix("SIG") if arg.startswith("-") else ""
            number = getattr(signal, f"SIG{name}", None) if name.isalpha() else None
            if number is None and arg.startswith("-") and arg[1:].isdigit():
                number = signal.Signals(int(arg[1:]))
            if number is None:
                rest.append(arg)
            else:
                signals.append(number)
        parser = NamespacedOptionParser(rest)
        parser.parse()
        return list(MultiParser(cmd=self.cmd).parse(parser)), signals[0] if signals else signal.SIGTERM

    def _cluster(self, nodes: Sequence[Any]) -> Cluster:
        note = self.note
        return Cluster(
            nodes, env=self.env,
            on_stopping_preamble=lambda nodes: note("> Stopping nodes..."),
            on_send_signal=lambda node, sig: note(f"\t> {node.name}: {sig} -> {node.pid}"),
            on_still_waiting_for=self._waiting,
            on_node_start=lambda node: note(f"\t> {node.name}: starting"),
            on_node_restart=lambda node: note(f"> Restarting node {node.name}"),
            on_node_shutdown_ok=lambda node: note(f"\t> {node.name}: OK"),
            on_node_status=lambda node, retval: note(f"\t> {node.name}: {'FAILED' if retval else 'OK'}"),
            on_node_signal=lambda node, sig: note(f"Sending {sig} to node {node.name} ({node.pid})"),
            on_node_signal_dead=lambda node: note(f"Could not signal {node.name} ({node.pid}): No such process"),
            on_node_down=lambda node: note(f"> {node.name}: DOWN"),
            on_child_spawn=lambda node, argstr, env: self.verbose and note(f"  {argstr}"),
            on_child_signalled=lambda node, signum: note(f"* Child was terminated by signal {signum}"),
            on_child_failure=lambda node, retcode: note(f"* Child terminated with exit code {retcode}"),
        )  # fmt: skip

    def _waiting(self, nodes: Any) -> None:
        if nodes:
            pids = ", ".join(str(node.pid) for node in nodes)
            self.note(f"> Waiting for {len(nodes)} {pluralize(len(nodes), 'node')} -> {pids}...")

    def start(self, argv: Sequence[str]) -> int:
        """Start workers; the number of those that failed."""
        self.note(f"celery multi v{VERSION_BANNER}\n> Starting nodes...")
        nodes, _ = self._nodes(argv)
        return int(any(self._cluster(nodes).start()))

    def stop(self, argv: Sequence[str]) -> None:
        """Signal workers."""
        nodes, sig = self._nodes(argv)
        self._cluster(nodes).stop(sig=sig)

    def stopwait(self, argv: Sequence[str]) -> None:
        """Signal workers, and wait for their ends."""
        nodes, sig = self._nodes(argv)
        self._cluster(nodes).stopwait(sig=sig)

    def restart(self, argv: Sequence[str]) -> int:
        """Stop workers, and start them again."""
        nodes, sig = self._nodes(argv)
        return int(any(self._cluster(nodes).restart(sig=sig)))

    def kill(self, argv: Sequence[str]) -> None:
        """Kill workers."""
        self._cluster(self._nodes(argv)[0]).kill()

    def show(self, argv: Sequence[str]) -> None:
        """Write the commands."""
        for node in self._nodes(argv)[0]:
            self._out(" ".join(node.argv_with_executable))

    def names(self, argv: Sequence[str]) -> None:
        """Write the names."""
        for node in self._nodes(argv)[0]:
            self._out(node.name)

    def get(self, argv: Sequence[str]) -> int | None:
        """Write the command of one worker."""
        wanted, *rest = argv
        for node in self._nodes(rest)[0]:
            if node.name == wanted:
                self._out(" ".join(node.argv))
                return None
        return EX_FAILURE

    def expand(self, argv: Sequence[str]) -> None:
        """Write a template with the names in it."""
        template, *rest = argv
        for node in self._nodes(rest)[0]:
            self._out(node.expander(template))

    def help(self, argv: Sequence[str]) -> None:
        """Write what there is."""
        self._out(__doc__ or "")


@click.command(cls=CeleryCommand, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@click.pass_context
@handle_preload_options
def multi(ctx: click.Context, /, **kwargs: Any) -> None:
    """Start multiple worker instances."""
    argv = ["multi", *ctx.args]
    # the group took -A before it came here; the workers need it too
    options = [f"--app={ctx.meta[TARGET]}"] if ctx.meta.get(TARGET) else []
    ctx.exit(MultiTool(env=dict(os.environ)).execute_from_commandline([*argv, *options]))
