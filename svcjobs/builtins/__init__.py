"""Jobs that most applications need: moving the outbox, delivering webhooks."""
