"""Events: what workers and producers tell of tasks and of themselves, for monitors to read.

They are sent as Celery sends them, so that Flower and celery-exporter understand them.
"""

from svcjobs_celery_compat.events.dispatcher import EventDispatcher
from svcjobs_celery_compat.events.event import Event, event_exchange, get_exchange, group_from
from svcjobs_celery_compat.events.receiver import EventReceiver

__all__ = ("Event", "EventDispatcher", "EventReceiver", "event_exchange", "get_exchange", "group_from")
