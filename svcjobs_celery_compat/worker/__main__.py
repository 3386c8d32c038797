"""What ``celery worker`` executes: the supervisor of its processes."""

from __future__ import annotations

import sys

from svcjobs_celery_compat.worker.processes import main

sys.exit(main())
