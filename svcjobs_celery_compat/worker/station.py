"""One process that runs tasks: its application for the engine, and what remote control can do there."""

from __future__ import annotations

import os
import signal as signals_of_system
from collections.abc import Callable, Mapping
from typing import Any

from kombu.entity import Queue

from svcjobs.child import Workplace
from svcjobs.pools.slots import lease_of
from svcjobs_celery_compat.concurrency.prefork import process_destructor, process_initializer
from svcjobs_celery_compat.utils.collections import AttributeDict
from svcjobs_celery_compat.utils.serialization import jsonify
from svcjobs_celery_compat.worker import control, state
from svcjobs_celery_compat.worker.application import TaskApplication
from svcjobs_celery_compat.worker.broker import Broker
from svcjobs_celery_compat.worker.intake import Intake
from svcjobs_celery_compat.worker.link import Link


class Station:
    """Makes the application of a process.

    Args:
        app: the Celery app.
        hostname: the worker's name.
        broker: the process's connection.
        consumer: sender of the signals about messages; where the worker's own is in another process, this station.
        task_events: whether to send events about tasks from the start.
        meets_at: the socket of the process that answers for the worker; None where it is this one.
    """

    def __init__(
        self,
        app: Any,
        hostname: str,
        broker: Broker,
        consumer: Any = None,
        task_events: bool = False,
        meets_at: str | None = None,
    ) -> None:
        self.app = app
        self.hostname = hostname
        self.broker = broker
        self._task_events = task_events
        self._meets_at = meets_at
        self.intake = Intake(app, hostname, broker, sender=consumer or self)
        self.application = TaskApplication(app, self.intake, self._begin, self._end)
        self._dispatcher: Any = None

    def _begin(self, _workplace: Workplace | None) -> None:
        process_initializer(self.app, self.hostname)
        for header, value in self.broker.revoked_stamps:
            state.revoked_stamps.setdefault(header, []).append(value)
        if self._task_events:
            self.enable_events()
        if self._meets_at is not None:
            Link(self._meets_at, self.obey).start()

    def _end(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.close()
        process_destructor(os.getpid(), 0, self.hostname)

    def obey_own(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """What a remote control command changes in this process besides what all processes have; None for others."""
        own = {"enable_events": self.enable_events, "disable_events": self.disable_events}.get(command)
        return own(**arguments) if own else None

    def obey(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """Obey the process that answers for the worker; returns this process's part of the answer."""
        own: dict[str, Callable[..., Any]] = {
            "enable_events": self.enable_events,
            "disable_events": self.disable_events,
            "terminate_task": self.terminate,
            "resize": self.resize,
            "take_from": self.take_from,
            "leave": self.leave,
            "stats": self.stats,
        }
        if command in own:
            return own[command](**arguments)
        return jsonify(control.Panel.data[command](self._state, **arguments))

    @property
    def _state(self) -> Any:
        """What commands get here."""
        return AttributeDict(app=self.app, hostname=self.hostname, consumer=self, tset=set, is_one_of_many=True)

    @property
    def pool(self) -> Any:
        """What ends tasks, for the commands."""
        return AttributeDict(terminate_job=self.terminate)

    def reset_rate_limits(self) -> None:
        """Limits have changed: starts are booked anew."""
        for name in list(self.app.tasks):
            if self.app.tasks[name].rate_limit:
                self.broker.rates(self.hostname).forget(name)

    def stats(self) -> dict[str, Any]:
        """What ran here, and what runs."""
        active = len(state.active_requests)
        return {"total": dict(state.total_count), "active": active, "processed": state.all_total_count[0]}

    def resize(self, concurrency: int) -> None:
        """Run so many tasks at once."""
        if self.application.workplace is not None:
            self.application.workplace.pool.resize(concurrency)

    def take_from(self, queue: Mapping[str, Any]) -> None:
        """Take tasks from one more queue."""
        if self.application.workplace is not None:
            self.application.workplace.consumer.take_from(self.broker.open(Queue.from_dict(**_flat(queue))))

    def leave(self, name: str) -> None:
        """Take no more tasks from a queue."""
        if self.application.workplace is not None:
            self.application.workplace.consumer.leave(self.broker.named(name).name)

    def enable_events(self) -> None:
        """Send events about tasks from now on."""
        if self._dispatcher is None:
            connection = self.app.connection_for_write()
            self._dispatcher = self.app.events.Dispatcher(connection, hostname=self.hostname)
        self._dispatcher.enable()
        self.intake.eventer = self._dispatcher

    def disable_events(self) -> None:
        """Send none any more."""
        if self._dispatcher is not None:
            self._dispatcher.disable()

    def terminate(self, task_id: str, signum: int) -> bool:
        """End the task if it runs here; signals other than SIGTERM hit the process, where it runs one task at a time.

        Returns:
            whether it runs here.
        """
        workplace = self.application.workplace
        request = state.requests.get(task_id)
        if workplace is None or request is None or request not in state.active_requests:
            return False
        request.end_early(signum)
        alone = workplace.plan.pool == "prefork"
        if alone and signum not in (signals_of_system.SIGTERM, signals_of_system.SIGINT):
            os.kill(os.getpid(), signum)
            return True
        for run in workplace.pool.slots.running:
            if lease_of(run.job) == lease_of(request.job):
                workplace.pool.cancel(run)
        return True


def _flat(queue: Mapping[str, Any]) -> dict[str, Any]:
    """What kombu makes a queue of again, from what ``as_dict`` says of it."""
    exchange = queue["exchange"] or {}
    return {
        "queue": queue["name"],
        "exchange": exchange.get("name"),
        "exchange_type": exchange.get("type"),
        "exchange_durable": exchange.get("durable"),
        "routing_key": queue["routing_key"],
        "queue_durable": queue["durable"],
        "queue_arguments": queue["queue_arguments"],
    }
