"""The kombu transport ``svcjobs://``: Celery and kombu on the queues of svcjobs.

Importing this package makes the URL schemes known to kombu. Where svcjobs is installed kombu does that by itself
when Celery is imported, through the entry point group ``kombu.serializers``.
"""

from svcjobs_celery_compat.transport.aliases import SCHEMES

__all__ = ["SCHEMES"]
