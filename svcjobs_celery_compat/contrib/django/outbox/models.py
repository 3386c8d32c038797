"""The table, the same as :data:`svcjobs.db.tables.outbox`: relays of both kinds may work on it."""

from __future__ import annotations

from django.db import models

from svcjobs.db.message import TOPIC_CHARACTERS
from svcjobs_celery_compat.contrib.django.outbox.fields import ExactTextField


class Message(models.Model):
    """A message, pending or moved. ``available_at`` is the end of a claim, or of the pause after a failure."""

    id = models.BigAutoField(primary_key=True)
    topic = ExactTextField(max_length=TOPIC_CHARACTERS)
    payload = models.TextField()
    created_at = models.DateTimeField()
    available_at = models.DateTimeField()
    attempts = models.IntegerField()
    processed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "svcjobs_outbox"
        # the migration makes another one, of pending rows, where the database has partial indexes
        indexes = (models.Index(fields=["processed_at", "id"], name="svcjobs_outbox_processed"),)

    def __str__(self) -> str:
        return f"{self.id} {self.topic}"
