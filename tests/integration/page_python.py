"""Runs the Python blocks of a page: each line of stdin is one, as a JSON string; each line of stdout tells of one."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import json
import sys
import traceback
import warnings
from typing import Any

warnings.simplefilter("error")
names: dict[str, Any] = {"__name__": "__main__"}
stdout = sys.stdout
for line in sys.stdin:
    printed = io.StringIO()
    error = None
    try:
        with contextlib.redirect_stdout(printed):
            code = compile(json.loads(line), "<block>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if inspect.iscoroutine(running):
                asyncio.run(running)
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps({"printed": printed.getvalue(), "error": error}), file=stdout, flush=True)
