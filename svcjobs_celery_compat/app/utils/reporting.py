"""Who an app is, and what a report of a bug should tell."""

from __future__ import annotations

import platform as _platform
from typing import Any

from svcjobs_celery_compat.app.utils.hiding import sanitize_url
from svcjobs_celery_compat.platforms import pyimplementation
from svcjobs_celery_compat.utils.imports import qualname

__all__ = ("appstr", "bugreport")

BUGREPORT_INFO = """
software -> celery:{celery_v} kombu:{kombu_v} py:{py_v}
            billiard:{billiard_v} {driver_v}
platform -> system:{system} arch:{arch}
            kernel version:{kernel_version} imp:{py_i}
loader   -> {loader}
settings -> transport:{transport} results:{results}

{human_settings}
"""


def appstr(app: Any) -> str:
    """Return the app's name, followed by its number in this process: ``proj:0x7f0…``."""
    return f"{app.main or '__main__'}:{id(app):#x}"


def bugreport(app: Any) -> str:
    """Return versions, platform and settings; passwords and keys are replaced."""
    import billiard
    import kombu

    import svcjobs_celery_compat

    try:
        connection = app.connection()
        driver = f"{connection.transport.driver_name}:{connection.transport.driver_version()}"
        transport = connection.transport_cls
    except Exception:  # noqa: BLE001 - a report is wanted most when the broker can't be used
        transport = driver = ""
    arch, _ = _platform.architecture()
    return BUGREPORT_INFO.format(
        system=_platform.system(),
        arch=", ".join(part for part in _platform.architecture() if part) or arch,
        kernel_version=_platform.release(),
        py_i=pyimplementation(),
        celery_v=svcjobs_celery_compat.VERSION_BANNER,
        kombu_v=kombu.__version__,
        billiard_v=billiard.__version__,
        py_v=_platform.python_version(),
        driver_v=driver,
        transport=transport,
        results=sanitize_url(app.conf.result_backend) or "disabled",
        human_settings=app.conf.humanize(),
        loader=qualname(app.loader.__class__),
    )
