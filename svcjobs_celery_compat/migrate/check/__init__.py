"""What a code base uses of Celery, and how that fares on svcjobs; read from its source, which is never run."""

from svcjobs_celery_compat.migrate.check.finding import Finding, Verdict
from svcjobs_celery_compat.migrate.check.project import check_path

__all__ = ["Finding", "Verdict", "check_path"]
