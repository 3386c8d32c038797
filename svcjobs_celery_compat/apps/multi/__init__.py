"""Several workers at once, in the background: their names, options, pid files, starts and stops."""

from __future__ import annotations

import os
from subprocess import Popen

from svcjobs_celery_compat.platforms import Pidfile
from svcjobs_celery_compat.utils.nodenames import gethostname

# below, as these modules use the names above, where they are replaced
from svcjobs_celery_compat.apps.multi.cluster import Cluster, maybe_call  # isort: skip
from svcjobs_celery_compat.apps.multi.naming import build_expander, build_nodename, celery_exe, format_opt  # isort: skip
from svcjobs_celery_compat.apps.multi.node import Node  # isort: skip
from svcjobs_celery_compat.apps.multi.parser import MultiParser, NamespacedOptionParser  # isort: skip

__all__ = (
    "Cluster", "MultiParser", "NamespacedOptionParser", "Node", "Pidfile", "Popen", "build_expander", "build_nodename",
    "celery_exe", "format_opt", "gethostname", "maybe_call", "os",
)  # fmt: skip
