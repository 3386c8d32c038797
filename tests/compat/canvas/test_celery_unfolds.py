"""Celery's workers run the parts of a chain that the facade has stored."""

from __future__ import annotations

import subprocess
import sys

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.canvas import Signature, folded
from tests.servers import RedisServer

CELERY = """
import sys
from unittest.mock import patch
from celery import Celery

url, part_id = sys.argv[1:]
app = Celery("fleet", broker="memory://", backend=url, include=["svcjobs_celery_compat.contrib.unfold"])


@app.task(name="tag")
def tag(*args):
    return args


app.loader.import_default_modules()
with patch.object(app.amqp, "send_task_message") as send:
    result = app.tasks["svcjobs.unfold"].apply(args=(7, part_id))
(_, name, message), _ = send.call_args
print(result.state, name, message.body[0], [step.args for step in message.body[2]["chain"]])
"""


def test_a_celery_worker_goes_on_with_the_steps_of_a_part(redis_server: RedisServer) -> None:
    app = Celery("producer", broker="memory://", backend=redis_server.url, set_as_current=False)
    steps = [Signature("tag", (place,), app=app) for place in ("last", "second", "first")]
    part_id = folded.store(steps, app)
    done = subprocess.run(
        [sys.executable, "-c", CELERY, redis_server.url, part_id],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == "IGNORED tag (7, 'first') [('last',), ('second',)]", done.stderr
