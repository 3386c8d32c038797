"""The tasks. They know no app: ``shared_task`` binds them to the current one."""

from celery import chain, chord, shared_task
from flask import current_app


class NoSales(Exception):
    """A region without sales has no report."""


@shared_task
def load(region):
    """The sales of a region, which come from a database in real life."""
    if not region["sales"]:
        raise NoSales(region["name"])
    return region["sales"]


@shared_task
def total(sales, name):
    return [name, sum(sales)]


@shared_task(bind=True, max_retries=3)
def convert(self, row):
    """Fails the first time, as a service for exchange rates sometimes does."""
    if self.request.retries == 0:
        raise self.retry(countdown=0.1)
    name, amount = row
    return [name, f"{amount} {current_app.config['CURRENCY']}"]


@shared_task
def render(rows):
    return "; ".join(f"{name}: {amount}" for name, amount in sorted(rows))


def report(regions):
    """One chain for each region, and the page when all are done."""
    return chord(chain(load.s(region), total.s(region["name"]), convert.s()) for region in regions)(render.s())
