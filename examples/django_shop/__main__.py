"""Order three articles over HTTP, one of which is sold out: ``python -m examples.django_shop``."""

import json
import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_shop.shop.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from examples.django_shop.orders.models import Closing, Order  # noqa: E402


def create_tables():
    with connection.schema_editor() as editor:
        for model in (Order, Closing):
            editor.create_model(model)


def main():
    call_command("check", verbosity=0)
    create_tables()
    client = Client()
    statuses = [client.post(f"/orders/{article}").status_code for article in ("lamp", "unicorn", "chair")]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (
        Order.objects.exclude(state="shipped").exists() or not Closing.objects.filter(shipped=2).exists()
    ):
        time.sleep(0.05)
    orders = list(Order.objects.order_by("article").values_list("article", "state"))
    print(json.dumps({"statuses": statuses, "orders": orders, "closed": Closing.objects.filter(shipped=2).exists()}))


main()
