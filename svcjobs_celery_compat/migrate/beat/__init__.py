"""``svcjobs migrate beat``: a Celery schedule as a native one, with the times of the last runs."""
