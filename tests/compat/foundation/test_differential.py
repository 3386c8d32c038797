"""The utilities give what those of real Celery give."""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

EASTERN = ZoneInfo("US/Eastern")
NOON = datetime.datetime(2026, 3, 7, 12, tzinfo=EASTERN)
DAY = datetime.timedelta(days=1)

CASES: dict[str, Callable[[ModuleType], Any]] = {
    # text
    "text: abbreviated": lambda m: m.text.abbr("ABCDEFGHI", 6),
    "text: no ellipsis": lambda m: m.text.abbr("ABCDEFGHI", 6, None),
    "text: task": lambda m: [m.text.abbrtask("feeds.tasks.refresh", n) for n in (10, 30)],
    "text: truncated": lambda m: [m.text.truncate("aaa bbb ccc", n) for n in (0, 5, 8, 40)],
    "text: lists": lambda m: [m.text.str_to_list(s) for s in ("a,b", ["a"], None)],
    "text: paragraphs": lambda m: m.text.fill_paragraphs("a b c\n\nd e f", 3),
    "text: dedent": lambda m: [m.text.dedent("    a\n    b"), m.text.dedent_initial("    a\n    b")],
    "text: newlines": lambda m: [m.text.ensure_newlines(s) for s in ("a", "a\nb\nc\n")],
    "text: plural": lambda m: [m.text.pluralize(n, "job") for n in (0, 1, 2)],
    "text: format": lambda m: m.text.simple_format("%n-%%-%n", {"n": "w"}),
    "text: repeated names": lambda m: m.text.remove_repeating_from_task("x.add", "x.add(1) | x.mul(2)"),
    # node names
    "nodes: split": lambda m: [tuple(m.nodenames.nodesplit(s)) for s in ("a@b", "a", "a@b@c")],
    "nodes: default": lambda m: [m.nodenames.default_nodename(s, "d") for s in ("h", "n@h", None, "")],
    "nodes: host": lambda m: m.nodenames.host_format("%h|%n|%d|%i|%I|%%n", "w.example.com"),
    "nodes: node": lambda m: m.nodenames.node_format("%h|%n|%p", "w1@example.com"),
    "nodes: direct": lambda m: m.nodenames.worker_direct("w@h").as_dict(recurse=True),
    # time
    "time: rates": lambda m: [m.time.rate(r) for r in ("10/m", "2.5/s", "7/h", "3", 4, None, "0/m")],
    "time: human": lambda m: [m.time.humanize_seconds(s) for s in (0, 0.5, 1, 59.999, 90, 7200, 86400 * 3)],
    "time: human parts": lambda m: m.time.humanize_seconds(3.2, "in ", " ", microseconds=True),
    "time: remaining": lambda m: [m.time.remaining(NOON, DAY, NOON + n * DAY / 4, r) for n in (0, 3) for r in (0, 1)],
    "time: clock": lambda m: m.time.remaining(NOON, m.time.ffwd(day=9, hour=3, minute=30), NOON),
    "time: ffwd": lambda m: [NOON + m.time.ffwd(month=2, day=31), NOON + m.time.ffwd(weeks=2, weekday=3)],
    "time: ffwd repr": lambda m: repr(m.time.ffwd(day=2, weekday=3)),
    "time: added": lambda m: m.time.add_seconds_to_datetime(NOON, 86400).isoformat(),
    "time: put forward": lambda m: m.time.make_aware(datetime.datetime(2024, 3, 10, 2, 30), EASTERN).isoformat(),
    "time: aware": lambda m: m.time.maybe_make_aware(datetime.datetime(2024, 3, 10), "US/Eastern").isoformat(),
    "time: resolution": lambda m: [m.time.delta_resolution(NOON, DAY / n) for n in (1, 2, 2000, 100000)],
    "time: iso": lambda m: [m.time.maybe_iso8601(s) for s in (None, "2024-01-02T03:04:05Z", "2024-01-02 03:04:05")],
    "time: backoff": lambda m: [m.time.get_exponential_backoff_interval(f, 3, 100) for f in (2, 40, -1)],
    "time: days": lambda m: [m.time.weekday("Monday"), m.time.yearmonth("January")],
    # functions and lists
    "functions: chunks": lambda m: list(m.functional.chunks(iter(range(7)), 3)),
    "functions: padlist": lambda m: [m.functional.padlist([1, 2], n, 0) for n in (1, 3)],
    "functions: uniq": lambda m: list(m.functional.uniq([1, 2, 1])),
    "functions: sequences": lambda m: m.functional.seq_concat_seq((1, 2, 3), [4]),
    "functions: regen": lambda m: [repr(r) for r in (m.functional.regen(iter("ab")), _read(m, 3), _read(m, 20))],
    "functions: arity": lambda m: [bool(m.functional.arity_greater(f, 1)) for f in (_two, _stars, str.join)],
    "functions: wrong calls": lambda m: [_error(m.functional.head_from_fun(_two), *a) for a in ((), (1,), (1, 2, 3))],
    "functions: bound": lambda m: [_error(m.functional.head_from_fun(_two, bound=True), *a) for a in ((), (1,))],
    "functions: keywords": lambda m: [m.functional.fun_accepts_kwargs(f) for f in (_two, _stars)],
    # representations
    "repr: plain": lambda m: [m.saferepr.saferepr(v) for v in ((1, 2.5, None), {"a": [1]}, b"x\xff", {1}, "t" * 9)],
    "repr: short": lambda m: [m.saferepr.saferepr(v, maxlen=20) for v in (["v" * 99, 1], ["v" * 99], [["v" * 99], 1])],
    "repr: deep": lambda m: m.saferepr.saferepr([[[[5], 6]]]),
    # serialization
    "json": lambda m: m.serialization.jsonify({"at": NOON, "day": NOON.date(), "for": DAY, "n": [1, None]}),
    "json: milliseconds": lambda m: m.serialization.jsonify(datetime.datetime(2024, 1, 2, 3, 4, 5, 678901)),
    "bool": lambda m: [m.serialization.strtobool(s) for s in ("yes", "off", "0", 3)],
    # color
    "colors": lambda m: str(m.term.colored().red("a ", m.term.colored().bold("b"), " c")),
}  # fmt: skip


def _two(first: object, second: object) -> None: ...


def _stars(*args: object, **kwargs: object) -> None: ...


def _read(modules: Any, count: int) -> Any:
    regenerated = modules.functional.regen(iter(range(9)))
    for _ in zip(range(count), regenerated, strict=False):
        pass
    return regenerated


def _error(call: Callable[..., object], *args: object) -> str | None:
    try:
        call(*args)
    except TypeError as exc:
        return str(exc)
    return None


class Modules:
    """The modules ``utils.*`` of a package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.utils.{name}")


@pytest.mark.parametrize("case", CASES)
def test_as_celery(case: str) -> None:
    ours, theirs = (CASES[case](Modules(package)) for package in ("svcjobs_celery_compat", "celery"))
    assert ours == theirs
