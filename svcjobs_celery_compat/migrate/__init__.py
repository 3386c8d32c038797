"""Moving from Celery: ``svcjobs migrate`` and what its commands do."""
