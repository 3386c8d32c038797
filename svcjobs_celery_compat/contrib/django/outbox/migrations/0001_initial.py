"""Makes the table."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models

import svcjobs_celery_compat.contrib.django.outbox.fields

PENDING = models.Index(fields=["id"], name="svcjobs_outbox_pending", condition=models.Q(processed_at__isnull=True))


def make_pending_index(apps: Any, schema_editor: Any) -> None:
    # MySQL has no partial indexes, and finds pending messages by the other one; as an index of the model it would
    # be complained of there
    if schema_editor.connection.features.supports_partial_indexes:
        schema_editor.add_index(apps.get_model("svcjobs_outbox", "Message"), PENDING)


def drop_pending_index(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.features.supports_partial_indexes:
        schema_editor.remove_index(apps.get_model("svcjobs_outbox", "Message"), PENDING)


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar[list[Any]] = []
    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("topic", svcjobs_celery_compat.contrib.django.outbox.fields.ExactTextField(max_length=255)),
                ("payload", models.TextField()),
                ("created_at", models.DateTimeField()),
                ("available_at", models.DateTimeField()),
                ("attempts", models.IntegerField()),
                ("processed_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "svcjobs_outbox",
                "indexes": [models.Index(fields=["processed_at", "id"], name="svcjobs_outbox_processed")],
            },
        ),
        migrations.RunPython(make_pending_index, drop_pending_index),
    ]
