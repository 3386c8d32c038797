"""Schedules: when a periodic task is due.

A schedule answers two questions about the time of its last run: whether it is due now, and for how many seconds it
needn't be asked again. The names and the answers are those that Celery documents.
"""

from svcjobs_celery_compat.schedules.abstract import BaseSchedule, schedstate
from svcjobs_celery_compat.schedules.crontab import Cronspec, cronfield, crontab
from svcjobs_celery_compat.schedules.interval import maybe_schedule, schedule
from svcjobs_celery_compat.schedules.parser import ParseException, crontab_parser
from svcjobs_celery_compat.schedules.solar import solar

__all__ = (
    "BaseSchedule",
    "Cronspec",
    "ParseException",
    "cronfield",
    "crontab",
    "crontab_parser",
    "maybe_schedule",
    "schedstate",
    "schedule",
    "solar",
)
