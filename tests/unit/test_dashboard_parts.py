"""The dashboard's history, plots, masking and reading of Celery's tasks, without pages."""

from __future__ import annotations

import base64
import gc
import threading
import time

import pytest

from svcjobs.dashboard.history import GAP_SECONDS, History, Points
from svcjobs.dashboard.masking import COVER, DEEPEST, TOO_DEEP, mask, mask_text
from svcjobs.dashboard.pages import duration, short
from svcjobs.dashboard.plots import MOST_POINTS, plot
from svcjobs.dashboard.task_message import read_task
from svcjobs.errors import QueueUnavailable
from svcjobs.queue import InMemoryJobQueue
from svcjobs.stats import QueueStats
from tests.eventually import eventually


class Flaky(InMemoryJobQueue):
    away = False

    def stats(self) -> QueueStats:
        if self.away:
            raise QueueUnavailable("no answer")
        return super().stats()


def test_history_tells_depth_age_pace_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = InMemoryJobQueue()
    history, now = History([queue]), 1000.0
    monkeypatch.setattr("svcjobs.dashboard.history.time", lambda: now)
    for _ in range(4):
        queue.enqueue("x")
    history.sample()
    now += 5
    for _ in range(2):
        queue.ack(queue.reserve_next())  # type: ignore[arg-type]
    history.sample()
    series = history.series("jobs")
    assert series.seconds == 5
    assert series.depth() == [(1000, 4), (1005, 2)]
    assert [at for at, age in series.age_seconds() if age is not None] == [1000, 1005]
    assert series.per_second() == [(1000, None), (1005, 0.4)]
    assert series.wait_seconds()[1] == (1005, 7.5)  # three on average, two fifths of one leave in a second
    assert series.run_seconds()[1] == (1005, 0)
    assert history.series("unknown").depth() == []


def test_a_queue_that_did_not_answer_has_a_gap_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Flaky()
    history, now = History([queue]), 1000.0
    monkeypatch.setattr("svcjobs.dashboard.history.time", lambda: now)
    for queue.away in (False, True, True, True, True, False):
        history.sample()
        now += 5
    assert history.series("jobs").depth() == [(1000, 0), (1012.5, None), (1025, 0)]
    assert [record.getMessage() for record in caplog.records] == ["queue jobs can't be sampled: no answer"]
    assert GAP_SECONDS < 25


def test_sampling_begins_at_once_and_ends() -> None:
    before = threads()
    history = History([InMemoryJobQueue()])
    history.start()
    history.start()
    (thread,) = threads() - before
    eventually(lambda: history.series("jobs").depth())
    history.stop()
    assert not thread.is_alive()


def test_sampling_ends_with_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svcjobs.dashboard.history.EVERY_SECONDS", 0.01)
    before = threads()
    History([InMemoryJobQueue()]).start()
    gc.collect()
    eventually(lambda: threads() <= before)


def threads() -> set[threading.Thread]:
    """Those that sample, of this test and of earlier ones."""
    return {thread for thread in threading.enumerate() if thread.name == "svcjobs-history"}


def test_a_plot_goes_from_zero_to_the_highest_value() -> None:
    drawn = plot("Depth", [(0, 0), (5, 10), (10, 5)], lambda value: f"{value:g}")
    assert (drawn.now, drawn.highest) == ("5", "10")
    assert '<polyline points="0.0,60.0 150.0,3.0 300.0,31.5"/>' in drawn.svg
    assert 'aria-label="Depth: now 5, highest 10"' in drawn.svg


def test_a_gap_parts_the_line() -> None:
    drawn = plot("Depth", [(0, 1), (5, 1), (10, None), (15, 2), (20, 2)], str)
    assert drawn.svg.count("<polyline") == 2


@pytest.mark.parametrize(("points", "now"), [([], "–"), ([(0, 3)], "3"), ([(0, 3), (5, None)], "–")])
def test_one_value_is_no_line(points: Points, now: str) -> None:
    drawn = plot("Depth", points, str)
    assert (drawn.svg, drawn.now) == ("", now)


def test_a_plot_is_small_and_keeps_its_peaks() -> None:
    points = [(float(at), 100.0 if at == 333 else 1.0) for at in range(720)]
    drawn = plot("Depth", points, str)
    line = drawn.svg.split('<polyline points="')[1]
    assert line.count(",") <= MOST_POINTS
    assert ",3.0 " in line


def test_a_title_is_escaped() -> None:
    assert "<b>" not in plot("<b>", [(0, 1), (1, 1)], str).svg


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:p@ss@host:1/0", f"redis://:{COVER}@host:1/0"),
        ("https://ghp_abc@github.com/x", f"https://{COVER}@github.com/x"),
        ("http://shop:8000/users/ann@example.com", "http://shop:8000/users/ann@example.com"),
        ("token=abc, x", f"token={COVER}, x"),
        ("{'password': 's 3', 'b': 1}", f"{{'password': {COVER}, 'b': 1}}"),
        ('{"password": "a\\"b", "c": 1}', f'{{"password": {COVER}, "c": 1}}'),
        ('"{\\"token\\": \\"abc\\"}"', f'"{{\\"token\\": {COVER}}}"'),
        ("Authorization: Digest username=x, response=y\nnext", f"Authorization: {COVER}\nnext"),
        ("Set-Cookie: a=1; session=abc", f"Set-Cookie: {COVER}"),
        ("sent Bearer abcdef", f"sent Bearer {COVER}"),
        ("the monkey has a passport", "the monkey has a passport"),
        ("KeyError: 'token'", "KeyError: 'token'"),
    ],
)
def test_texts_are_masked(text: str, shown: str) -> None:
    assert mask_text(text) == shown


def test_values_are_masked_under_the_name_of_a_secret_only() -> None:
    value = {"api-key": 1, "tokens_left": [1], "secret": None, "name": "ann", "deep": [{"DB_PASSWORD": {"a": 1}}]}
    assert mask(value) == {
        "api-key": COVER, "tokens_left": COVER, "secret": None, "name": "ann", "deep": [{"DB_PASSWORD": COVER}],
    }  # fmt: skip


def test_a_deep_value_is_cut() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    shown = mask(deep)
    for _ in range(DEEPEST):
        shown = shown[0]
    assert shown == TOO_DEEP


# each was quadratic with some earlier pattern: minutes, where it now takes a fraction of a second
@pytest.mark.parametrize(
    "part", ["a", "a-", "token", "://", "a:", "token ", "Basic ", 'token="', "a://b:c", "cookie: "]
)
def test_masking_takes_no_longer_for_odd_texts(part: str) -> None:
    text = part * (300_000 // len(part))
    begin = time.process_time()
    mask_text(text)
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (-1, "0 ms"), (0.0254, "25 ms"), (1, "1 s"), (90, "1.5 min"), (7200, "2 h"), (1e8, "1157 d")],
)
def test_durations_are_short(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(("name", "shown"), [("jobs", "jobs"), ("{jobs}", "jobs"), ("jobs:{mail:eu}", "mail:eu")])
def test_a_queue_is_called_by_its_own_name(name: str, shown: str) -> None:
    assert short(name) == shown


def test_a_celery_task_shows_its_arguments_parents_and_chain() -> None:
    chain = [{"task": "proj.last"}, {"task": "proj.next"}]
    headers = {"id": "t", "parent_id": "p", "root_id": "r"}
    task = read_task({"args": [1], "kwargs": {"a": 2}, "_kombu": {"headers": headers, "embed": {"chain": chain}}})
    assert task is not None
    assert (task.args, task.kwargs) == ([1], {"a": 2})
    assert task.ids == {"task": "t", "parent": "p", "root": "r"}
    assert task.follow_ups == {"then": ["proj.next", "proj.last"]}
    opaque = read_task({"_kombu": {"content-type": "application/x-python-serialize", "body": "gASV"}})
    assert opaque is not None
    assert opaque.opaque == "application/x-python-serialize, 4 characters"
    assert read_task({"args": [1]}) is None


def test_a_celery_body_with_nan_is_read() -> None:
    body = base64.b64encode(b'[[NaN], {"a": 1}, {"chain": [{"task": "proj.next"}]}]').decode()
    task = read_task({"_kombu": {"headers": {}, "content-type": "application/json", "body": body}})
    assert task is not None
    assert (str(task.args), task.kwargs, task.follow_ups) == ("[nan]", {"a": 1}, {"then": ["proj.next"]})


@pytest.mark.parametrize("body", ["", "%%", "W10=", base64.b64encode(b"[" * 100_000).decode()])
def test_a_celery_body_that_is_no_json_task_is_opaque(body: str) -> None:
    task = read_task({"_kombu": {"content-type": "application/json", "body": body}})
    assert task is not None
    assert task.opaque == f"application/json, {len(body)} characters"


def test_groups_and_chords_in_a_chain_are_named_with_their_tasks() -> None:
    pair = [{"task": "a"}, {"task": "b"}]
    group = {"task": "celery.group", "kwargs": {"tasks": pair}}
    chord = {"task": "celery.chord", "kwargs": {"header": group, "body": {"task": "sum"}}}
    task = read_task({"args": [], "_kombu": {"embed": {"chain": [chord, group]}}})
    assert task is not None
    assert task.follow_ups == {"then": ["group(a, b)", "chord(a, b → sum)"]}
