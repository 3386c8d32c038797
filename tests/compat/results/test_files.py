"""Results in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from svcjobs_celery_compat import Celery


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Any]:
    app = Celery("proj", broker="memory://", backend=f"file://{tmp_path}", set_as_current=False)
    yield app
    app.close()


def test_a_result_is_a_file_that_others_may_read(app: Any, tmp_path: Path) -> None:
    app.backend.mark_as_done("t", {"x": 1})

    (file,) = tmp_path.iterdir()
    assert file.name == "celery-task-meta-t"
    assert file.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert app.AsyncResult("t").get(timeout=1) == {"x": 1}


@pytest.mark.parametrize("task_id", ["../escaped", "a/b", "a\0b"])
def test_no_id_leads_out_of_the_folder(app: Any, tmp_path: Path, task_id: str) -> None:
    with pytest.raises(ValueError, match="slash"):
        app.backend.mark_as_done(task_id, 1)
    assert list(tmp_path.iterdir()) == []


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask
