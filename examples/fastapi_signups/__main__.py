"""Sign two users up over HTTP, one of whom unsubscribes: ``python -m examples.fastapi_signups``."""

import json
import time

from fastapi.testclient import TestClient

from examples.fastapi_signups.tasks import SENT, outbox
from examples.fastapi_signups.web import web


def main():
    mails = outbox()
    mails.delete(SENT)
    client = TestClient(web)
    ann = client.post("/signups/ann@example.org").json()
    bob = client.post("/signups/bob@example.org").json()
    client.delete(f"/reminders/{bob['reminder']}")
    deadline = time.monotonic() + 30
    while mails.llen(SENT) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    states = [client.get(f"/signups/{user['welcome']}").json() for user in (ann, bob)]
    print(json.dumps({"mails": sorted(mails.lrange(SENT, 0, -1)), "states": states}))


main()
