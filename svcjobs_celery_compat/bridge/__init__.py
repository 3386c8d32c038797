"""``svcjobs bridge``: moves what waits at a plain kombu broker into queues of svcjobs."""
