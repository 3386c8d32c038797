"""A worker of real Celery and one of ours on the same server: each does what producers of either kind ask of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from click.testing import CliRunner

from svcjobs.cli import main
from svcjobs.job import Job
from svcjobs.redis_queue import RedisJobQueue
from tests.compat.fleet.fleet import Fleet, Worker
from tests.compat.fleet.proj import mixed
from tests.eventually import eventually

SECONDS = 30.0
KINDS = ("celery", "svcjobs")
PACKAGES = {"celery": "celery", "svcjobs": "svcjobs_celery_compat"}


@pytest.fixture(scope="module")
def workers(fleet: Fleet) -> dict[str, Worker]:
    """One of each kind, on the queue ``celery`` and one of its own."""
    started = {kind: fleet.start(kind, "-Q", f"celery,only_{kind}") for kind in KINDS}
    return {kind: worker.ready() for kind, worker in started.items()}


@pytest.fixture(params=KINDS)
def producer(request: pytest.FixtureRequest, fleet: Fleet, workers: dict[str, Worker]) -> Any:
    """The app of one kind, with workers of both."""
    return {"celery": fleet.celery, "svcjobs": fleet.svcjobs}[request.param]


@pytest.fixture
def queues(fleet: Fleet, workers: dict[str, Worker]) -> Iterator[dict[str, RedisJobQueue]]:
    """The queue of each worker's own."""
    opened = {kind: RedisJobQueue(fleet.client, prefix=f"jobs:{{only_{kind}}}") for kind in KINDS}
    yield opened
    for queue in opened.values():
        queue.close()


def on(kind: str, task: Any, *args: Any, **kwargs: Any) -> Any:
    """A signature, to be run by the worker of that kind."""
    return task.s(*args, **kwargs).set(queue=f"only_{kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_each_runs_and_retries_what_either_sends(producer: Any, kind: str) -> None:
    assert on(kind, producer.tasks["proj.where"]).delay().get(timeout=SECONDS) == PACKAGES[kind]
    assert on(kind, producer.tasks["proj.again"], 1, n=2).delay().get(timeout=SECONDS) == mixed(1, 2)


@pytest.mark.parametrize("order", [KINDS, KINDS[::-1]])
def test_chains_chords_and_links_go_from_one_to_the_other(fleet: Fleet, producer: Any, order: tuple[str, str]) -> None:
    first, second = order
    key = f"{type(producer).__module__} {order}"
    mix, note, note_error = (producer.tasks[f"proj.{name}"] for name in ("mix", "note", "note_error"))
    linked = on(first, mix, n=1)
    linked.link(on(second, note, key=key))
    chain = linked | on(second, mix, n=2) | on(first, mix, n=3)
    assert chain.delay().get(timeout=SECONDS) == mixed(mixed(mixed(1), 2), 3)

    chord = import_module(f"{type(producer).__module__.partition('.')[0]}.canvas").chord
    made = chord([on(kind, mix, n=n) for n, kind in enumerate(order * 2)], on(second, mix, n=9), app=producer)
    assert made.delay().get(timeout=SECONDS) == mixed([mixed(n) for n in range(4)], 9)

    failing = on(first, producer.tasks["proj.fail"], n=1)
    failing.link_error(on(second, note_error, key=key))
    failing.delay()
    expected = {json.dumps([key, value]).encode() for value in (mixed(1), "error")}
    eventually(lambda: expected <= fleet.client.smembers("notes"), SECONDS)


@pytest.mark.parametrize("kind", KINDS)
def test_either_revokes_what_waits_and_ends_what_runs_on_each(producer: Any, kind: str) -> None:
    sleep = producer.tasks["proj.sleep"]
    running = on(kind, sleep, 60).delay()
    inspect = producer.control.inspect(timeout=2)
    eventually(
        lambda: running.id in {task["id"] for tasks in (inspect.active() or {}).values() for task in tasks}, SECONDS
    )
    waiting = on(kind, sleep, 0).delay()
    waiting.revoke()
    running.revoke(terminate=True)
    for result in (running, waiting):
        eventually(lambda result=result: result.state == "REVOKED", SECONDS)


def test_remote_control_of_either_reaches_both(producer: Any, workers: dict[str, Worker]) -> None:
    names = {worker.name for worker in workers.values()}
    wait = {"timeout": SECONDS, "limit": len(names)}  # answers end the wait
    control, inspect = producer.control, producer.control.inspect(**wait)
    assert {name for reply in control.ping(**wait) for name in reply} == names
    for command in ("registered", "stats", "active", "scheduled", "reserved", "conf", "report", "clock", "revoked"):
        assert set(getattr(inspect, command)() or {}) == names, command

    def taking(queue: str) -> set[str]:
        return {name for name, taken in inspect.active_queues().items() if queue in {each["name"] for each in taken}}

    control.add_consumer("added", reply=True, **wait)
    assert taking("added") == names
    control.cancel_consumer("added", reply=True, **wait)
    assert taking("added") == set()
    answers = control.rate_limit("proj.sleep", "10/s", reply=True, **wait)
    assert {name for reply in answers for name, said in reply.items() if "ok" in said} == names


def test_events_of_both_reach_a_receiver_of_either(producer: Any, workers: dict[str, Worker]) -> None:
    seen: dict[str, dict[str, set[frozenset[str]]]] = defaultdict(lambda: defaultdict(set))
    # a heartbeat that a receiver asked for when it began to listen doesn't tell what the worker does
    wanted = {"task-received": 1, "task-started": 1, "task-succeeded": 1, "worker-heartbeat": 2}

    def complete(name: str) -> bool:
        return all(len(seen[name][kind]) >= shapes for kind, shapes in wanted.items())

    def note(event: dict[str, Any]) -> None:
        if not seen:  # it listens now
            for kind in KINDS:
                on(kind, producer.tasks["proj.where"]).delay()
        seen[event["hostname"]][event["type"]].add(frozenset(event))
        receiver.should_stop = all(complete(worker.name) for worker in workers.values())

    with producer.connection_for_read() as connection:
        receiver = producer.events.Receiver(connection, handlers={"*": note})
        receiver.capture(limit=None, timeout=SECONDS, wakeup=True)
    theirs, ours = (seen[workers[kind].name] for kind in KINDS)
    assert {kind: len(theirs[kind]) for kind in wanted} == wanted
    assert {kind: theirs[kind] for kind in wanted} == {kind: ours[kind] for kind in wanted}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_task_rejects_is_dead_with_its_reason(
    producer: Any, kind: str, queues: dict[str, RedisJobQueue]
) -> None:
    before = {job.id for job in queues[kind].dead()}
    on(kind, producer.tasks["proj.reject"]).delay()
    job = eventually(lambda: newest(queues[kind], before), SECONDS)
    assert (job.name, job.reason) == ("proj.reject", "rejected")
    # Celery's pool process keeps the text of a Reject to itself
    assert ("not mine" if kind == "svcjobs" else "a consumer rejected the message") in (job.last_error or "")


def test_what_celery_doesnt_know_is_dead_with_its_reason(producer: Any, queues: dict[str, RedisJobQueue]) -> None:
    before = {job.id for job in queues["celery"].dead()}
    producer.send_task("proj.more", queue="only_celery")
    job = eventually(lambda: newest(queues["celery"], before), SECONDS)
    assert (job.name, job.reason) == ("proj.more", "rejected")
    assert job.last_error == "a consumer rejected the message: KeyError: 'proj.more'"


def test_status_tells_what_ran_where_and_warns_of_what_one_side_knows(fleet: Fleet, workers: dict[str, Worker]) -> None:
    for kind in KINDS:
        on(kind, fleet.celery.tasks["proj.fail"], n=1).delay()
    knowing = fleet.start("svcjobs", "-Q", "only_svcjobs", KNOWS_MORE="1").ready()

    sides = {workers["celery"].name: "celery", workers["svcjobs"].name: "svcjobs", knowing.name: "svcjobs"}

    def told() -> Any:
        command = ["migrate", "status", "--json", "--redis-url", fleet.url]
        done = CliRunner().invoke(main, command, prog_name="svcjobs")
        assert done.exit_code == 0, done.stderr
        document = json.loads(done.stdout)
        assert {worker["name"]: worker["side"] for worker in document["workers"]} == sides  # all answered in time
        failed = next(task for task in document["tasks"] if task["task"] == "proj.fail")
        assert all(failed["runs"].get(kind, {}).get("failed") for kind in KINDS)
        return document, failed

    document, failed = eventually(told, SECONDS)
    assert failed["known_by"] == ["svcjobs", "celery"]
    assert failed["runs"]["celery"]["worker"] == workers["celery"].name
    (warning,) = document["warnings"]
    assert warning.startswith("proj.more is known to svcjobs workers only: a Celery worker that is given it rejects it")
    knowing.stop()
    knowing.process.wait(SECONDS)


def test_what_we_dont_know_waits_longer_each_time_until_somebody_does(
    fleet: Fleet, workers: dict[str, Worker], queues: dict[str, RedisJobQueue]
) -> None:
    ours = workers["svcjobs"]
    results = [producer.send_task("proj.more", queue="only_svcjobs") for producer in fleet.producers]
    for seconds in (5, 10):
        line = f"of type 'proj.more': it is given back, and looked at again in {seconds} s"
        eventually(lambda line=line: ours.log.count(line) == 2, SECONDS)
        eventually(lambda: queues["svcjobs"].stats().delayed == 2, SECONDS)
        waiting = fleet.client.zrange("jobs:{only_svcjobs}:delayed", 0, -1)
        attempts = [fleet.client.hget(f"jobs:{{only_svcjobs}}:job:{job_id.decode()}", "attempts") for job_id in waiting]
        assert attempts == [b"0", b"0"]
        hurry(fleet)
    ours.stop()
    fleet.start("svcjobs", "-Q", "celery,only_svcjobs", KNOWS_MORE="1").ready()
    ours.process.wait(SECONDS)
    hurry(fleet)
    assert [result.get(timeout=SECONDS) for result in results] == ["svcjobs_celery_compat"] * 2


def hurry(fleet: Fleet) -> None:
    """Let what is delayed be due now, as docs/data-model.md says."""
    key = "jobs:{only_svcjobs}:delayed"
    for job_id in fleet.client.zrange(key, 0, -1):
        fleet.client.zadd(key, {job_id: 0}, xx=True)


def newest(queue: RedisJobQueue, before: set[str]) -> Job | None:
    """A dead letter that wasn't there before."""
    return next((job for job in queue.dead() if job.id not in before), None)
