"""The Celery app and its tasks. The mail gateway is a list in Redis, and fails at times."""

import os

import redis
from celery import Celery

app = Celery("fastapi_signups", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_BACKEND"])
app.conf.task_routes = {"signups.remind": {"queue": "slow"}}
app.conf.result_expires = 600

SENT = "fastapi_signups:sent"


def outbox():
    return redis.Redis.from_url(os.environ["RESULT_BACKEND"], decode_responses=True)


class GatewayBusyError(Exception):
    """The gateway asks to come back later."""


@app.task(
    name="signups.welcome",
    bind=True,
    autoretry_for=(GatewayBusyError,),
    retry_backoff=0.05,
    retry_jitter=False,
    max_retries=5,
)
def welcome(self, address):
    """Send the first mail. The gateway takes it at the third try."""
    if self.request.retries < 2:
        raise GatewayBusyError(address)
    outbox().rpush(SENT, f"welcome {address}")
    return self.request.retries


@app.task(name="signups.remind", ignore_result=True)
def remind(address):
    outbox().rpush(SENT, f"remind {address}")


@app.task(name="signups.confirm")
def confirm(retries, address):
    """Runs when the welcome mail is out."""
    outbox().rpush(SENT, f"confirm {address} after {retries} retries")
