"""Order two reports over HTTP, wait for them, print them: ``python -m examples.flask_reports``."""

import json
import time

from examples.flask_reports.app import create_app

REGIONS = [{"name": "north", "sales": [3, 4]}, {"name": "south", "sales": [5]}, {"name": "west", "sales": [1, 1, 1]}]


def wait_for(client, report_id):
    deadline = time.monotonic() + 30
    while (answer := client.get(f"/reports/{report_id}").get_json())["state"] not in ("SUCCESS", "FAILURE"):
        if time.monotonic() > deadline:
            raise SystemExit(f"no report after 30 s: {answer}")
        time.sleep(0.05)
    return answer


def main():
    client = create_app().test_client()
    good = client.post("/reports", json={"regions": REGIONS}).get_json()["id"]
    bad = client.post("/reports", json={"regions": [*REGIONS, {"name": "east", "sales": []}]}).get_json()["id"]
    print(json.dumps({"good": wait_for(client, good), "bad": wait_for(client, bad)["state"]}))


main()
