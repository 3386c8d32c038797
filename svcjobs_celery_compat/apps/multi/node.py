"""One worker."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from svcjobs_celery_compat.apps import multi
from svcjobs_celery_compat.apps.multi.naming import _kwargs_to_command_line, build_expander, celery_exe, format_opt
from svcjobs_celery_compat.platforms import IS_WINDOWS
from svcjobs_celery_compat.utils.nodenames import node_format


class Node:
    """One worker.

    Args:
        name: its full name.
        cmd: the command; ``celery worker --detach`` by default.
        append: what comes after the options.
        options: by their names on the command line.
        extra_args: further arguments.
    """

    def __init__(
        self, name: str, cmd: str | None = None, append: str | None = None, options: Any = None, extra_args: Any = None
    ) -> None:
        self.name = name
        self.cmd = cmd or celery_exe("worker", "--detach")
        self.append = append
        self.extra_args = extra_args or ""
        self.options = self._annotate_with_default_opts(options or OrderedDict())
        self.expander = self._prepare_expander()
        self.argv = self._prepare_argv()
        self._pid: int | None = None

    def _annotate_with_default_opts(self, options: Any) -> Any:
        options["-n"] = self.name
        self._setdefaultopt(options, ["--pidfile", "-p"], os.path.normpath("/var/run/celery/%n.pid"))
        self._setdefaultopt(options, ["--logfile", "-f"], os.path.normpath("/var/log/celery/%n%I.log"))
        self._setdefaultopt(options, ["--executable"], sys.executable)
        return options

    def _setdefaultopt(self, d: Any, alt: Sequence[str], value: str) -> Any:
        for opt in alt[1:]:
            if opt in d:
                return d[opt]
        value = d.setdefault(alt[0], os.path.normpath(value))
        if alt[0] in ("--pidfile", "--logfile"):
            value = d[alt[0]] = os.path.expanduser(value)  # noqa: PTH111 - text with percent signs
        folder = os.path.dirname(value)  # noqa: PTH120 - as above
        if folder and not os.path.exists(folder):  # noqa: PTH110 - as above
            os.makedirs(folder)  # noqa: PTH103 - as above
        return value

    def _prepare_expander(self) -> Callable[[str], str]:
        shortname, hostname = self.name.split("@", 1)
        return build_expander(self.name, shortname, hostname)

    def _prepare_argv(self) -> tuple[str, ...]:
        command = self.cmd.split(" ")
        at = command.index("celery") + 1 if "celery" in command else len(command)
        options = OrderedDict(self.options)
        for name in ("-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir",
                     "-C", "--no-color", "-q", "--quiet"):  # fmt: skip
            value = options.pop(name, None)
            if value is not None or name in self.options:
                value = os.path.expanduser(value) if name == "--workdir" else value  # noqa: PTH111 - as it is given
                command.insert(at, format_opt(name, self.expander(value) if value else None))
                at += 1
        formatted = [format_opt(opt, self.expander(str(value)) if value else value) for opt, value in options.items()]
        return (" ".join(command), *formatted, self.extra_args, *([self.append] if self.append else []))

    def alive(self) -> Any:
        """Whether its process lives."""
        return self.send(0)

    def send(self, sig: int, on_error: Callable[[Any], object] | None = None) -> Any:
        """Send a signal; False when there is no such process."""
        pid = self.pid
        if pid:
            try:
                os.kill(pid, sig)
            except OSError as exc:
                if exc.errno not in (errno.ESRCH, errno.EPERM):
                    raise
                if on_error:
                    on_error(self)
                return False
            return True
        if on_error:
            on_error(self)
        return None

    def start(self, env: Any = None, **kwargs: Any) -> Any:
        """Start it; returns the exit code of the command."""
        return self._waitexec(self.argv, path=self.executable, env=env, **kwargs)

    def _waitexec(
        self, argv: Sequence[str], path: str = sys.executable, env: Any = None, on_spawn: Any = None,
        on_signalled: Any = None, on_failure: Any = None,
    ) -> int:  # fmt: skip
        command = self.prepare_argv(argv, path)
        if on_spawn:
            on_spawn(self, argstr=" ".join(command), env=env)
        process = multi.Popen(command, env=env)
        return self.handle_process_exit(process.wait(), on_signalled=on_signalled, on_failure=on_failure)

    def handle_process_exit(self, retcode: int, on_signalled: Any = None, on_failure: Any = None) -> int:
        """Tell of an exit code; returns it without its sign."""
        if retcode < 0:
            if on_signalled:
                on_signalled(self, -retcode)
            return -retcode
        if retcode > 0 and on_failure:
            on_failure(self, retcode)
        return retcode

    def prepare_argv(self, argv: Sequence[str], path: str) -> list[str]:
        """The command as a list."""
        return shlex.split(" ".join([path, *argv]), posix=not IS_WINDOWS)

    def getopt(self, *alt: str) -> Any:
        """The option by the first of its names that is there.

        Raises:
            KeyError: none is.
        """
        for opt in alt:
            if opt in self.options:
                return self.options[opt]
        raise KeyError(alt[0])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"

    @cached_property
    def pidfile(self) -> str:
        """Where its pid is."""
        # the worker expands what it is given once more
        return node_format(self.expander(str(self.getopt("--pidfile", "-p"))), self.name)

    @cached_property
    def logfile(self) -> str:
        """Where its log goes."""
        return self.expander(self.getopt("--logfile", "-f"))

    @property
    def pid(self) -> int | None:
        """Its pid, None when it doesn't run."""
        if self._pid is not None:
            return self._pid
        try:
            return multi.Pidfile(self.pidfile).read_pid()
        except ValueError:
            return None

    @pid.setter
    def pid(self, value: int | None) -> None:
        self._pid = value

    @cached_property
    def executable(self) -> str:
        """The Python that runs it."""
        return str(self.options["--executable"])

    @cached_property
    def argv_with_executable(self) -> tuple[str, ...]:
        """The command."""
        return (self.executable, *self.argv)

    @classmethod
    def from_kwargs(cls, name: str, **kwargs: Any) -> Node:
        """A worker with options by keyword: ``from_kwargs("w1@host", concurrency=3)``."""
        return cls(name, options=_kwargs_to_command_line(kwargs))
