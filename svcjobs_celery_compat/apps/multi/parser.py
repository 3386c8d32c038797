"""From a command line to workers."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from svcjobs_celery_compat.apps import multi
from svcjobs_celery_compat.apps.multi.naming import build_nodename
from svcjobs_celery_compat.apps.multi.node import Node


class NamespacedOptionParser:
    """Reads ``-c 3 -c:1-3 10 --loglevel:image=DEBUG``: options for all workers, and for some.

    Args:
        args: of the command line.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self.args = args
        self.options: OrderedDict[str, Any] = OrderedDict()
        self.values: list[str] = []
        self.passthrough = ""
        self.namespaces: defaultdict[str, OrderedDict[str, Any]] = defaultdict(OrderedDict)

    def parse(self) -> None:
        """Read all."""
        rest = [arg for arg in self.args if arg]
        pos = 0
        while pos < len(rest):
            arg = rest[pos]
            if arg == "--":
                self.passthrough = " ".join(rest[pos:])
                break
            if arg.startswith("--"):
                self.process_long_opt(arg[2:])
            elif arg.startswith("-"):
                value = None
                if len(rest) > pos + 1 and not rest[pos + 1].startswith("-"):
                    value = rest[pos + 1]
                    pos += 1
                self.process_short_opt(arg[1:], value)
            else:
                self.values.append(arg)
            pos += 1

    def process_long_opt(self, arg: str, value: Any = None) -> None:
        """``--name=value``."""
        if "=" in arg:
            arg, value = arg.split("=", 1)
        self.add_option(arg, value, short=False)

    def process_short_opt(self, arg: str, value: Any = None) -> None:
        """``-x value``."""
        self.add_option(arg, value, short=True)

    def optmerge(self, ns: str, defaults: Any = None) -> OrderedDict[str, Any]:
        """The options of one worker."""
        return OrderedDict(self.options if defaults is None else defaults, **self.namespaces[ns])

    def add_option(self, name: str, value: Any, short: bool = False, ns: str | None = None) -> None:
        """Add an option, for the workers that its name tells after a colon."""
        dest: Any = self.options
        if ":" in name:
            name, ns = name.split(":", 1)
            dest = self.namespaces[ns]
        dest[("-" if short else "--") + name] = value


class MultiParser:
    """Makes the workers of what :class:`NamespacedOptionParser` read.

    Args:
        cmd: the command of each.
        append: what comes after its options.
        prefix: before each name.
        suffix: the host.
        range_prefix: the name of workers that are given by number.
    """

    Node: Any = Node

    def __init__(
        self, cmd: str | None = "celery worker", append: str = "", prefix: str = "", suffix: str = "",
        range_prefix: str = "celery",
    ) -> None:  # fmt: skip
        self.cmd = cmd
        self.append = append
        self.prefix = prefix
        self.suffix = suffix
        self.range_prefix = range_prefix

    def parse(self, p: NamespacedOptionParser) -> Iterator[Any]:
        """The workers.

        Raises:
            KeyError: an option is for a worker that isn't there.
        """
        names = p.values
        options = dict(p.options)
        ranges = len(names) == 1 and names[0].isdigit()
        cmd = options.pop("--cmd", self.cmd)
        append = options.pop("--append", self.append)
        hostname = options.pop("--hostname", options.pop("-n", multi.gethostname()))
        prefix = options.pop("--prefix", self.prefix) or ""
        suffix = options.pop("--suffix", self.suffix) or hostname
        suffix = "" if suffix in ('""', "''") else suffix
        range_prefix = options.pop("--range-prefix", "") or self.range_prefix
        if ranges:
            names, prefix = [str(n + 1) for n in range(int(names[0]))], range_prefix
        self._update_ns_opts(p, names, ranges=ranges)
        return (self._node_from_options(p, name, prefix, suffix, cmd, append, options) for name in names)

    def _node_from_options(
        self, p: NamespacedOptionParser, name: str, prefix: str, suffix: str, cmd: str | None, append: str, options: Any
    ) -> Any:
        full, short, _ = build_nodename(name, prefix, suffix)
        named = next((each for each in (name, short, full) if each in p.namespaces), name)
        return self.Node(full, cmd, append, p.optmerge(named, options), p.passthrough)

    def _update_ns_opts(self, p: NamespacedOptionParser, names: Sequence[str], ranges: bool = False) -> None:
        """Options for ``1-3``, ``1,3`` or ``a,b`` become those of each of these workers."""
        for ns, options in list(p.namespaces.items()):
            several = "," in ns or (ranges and "-" in ns)
            for each in self._parse_ns_range(ns, ranges):
                name = self._named(each, names, ranges=ranges, lenient=several and ranges)
                if name is not None and name != ns:
                    p.namespaces[name].update(options)
            if several or (ns.isdigit() and not ranges):
                p.namespaces.pop(ns)

    def _named(self, ns: str, names: Sequence[str], *, ranges: bool, lenient: bool) -> str | None:
        if not ns.isdigit():
            return ns
        number = int(ns)
        if not 1 <= number <= len(names):
            if lenient:
                return None
            raise KeyError(f"No node at index {ns!r}")
        return ns if ranges else names[number - 1]

    def _parse_ns_range(self, ns: str, ranges: bool = False) -> list[str]:
        found: list[str] = []
        for space in ns.split(",") if "," in ns else [ns]:
            if ranges and "-" in space:
                start, stop = space.split("-")
                found += [str(n) for n in range(int(start), int(stop) + 1)]
            else:
                found.append(space)
        return found
