"""What Celery ships beside its core: test support, abortable tasks, Django, migration."""
