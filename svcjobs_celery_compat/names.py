"""How modules of this package are named for the outside world.

Log configuration, stored results and messages of Celery's users name modules as ``celery.…``. The same code lies here
under :data:`PACKAGE`, so names are translated where they leave and enter the process.
"""

from __future__ import annotations

PACKAGE = "svcjobs_celery_compat"
CELERY = "celery"


def _moved(name: str, old: str, new: str) -> str:
    if name == old or name.startswith(old + "."):
        return new + name[len(old) :]
    return name


def celery_name(name: str) -> str:
    """Return the name that Celery has for a module of this package: ``celery.app.trace``; others stay as they are."""
    return _moved(name, PACKAGE, CELERY)


def own_name(name: str) -> str:
    """Return the name that a module of Celery has in this package; others stay as they are."""
    return _moved(name, CELERY, PACKAGE)
