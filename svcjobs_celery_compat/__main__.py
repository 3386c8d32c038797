"""``python -m celery``."""

from __future__ import annotations

import sys

from svcjobs_celery_compat.bin.celery import main

if __name__ == "__main__":
    sys.exit(main())
