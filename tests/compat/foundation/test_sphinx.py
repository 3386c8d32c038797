"""The Sphinx extension documents tasks by their functions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SOURCES = {
    "conf.py": "extensions = ['sphinx.ext.autodoc', 'svcjobs_celery_compat.contrib.sphinx']\n",
    "index.rst": "Tasks\n=====\n\n.. automodule:: shop_tasks\n   :members:\n\nSee :task:`shop_tasks.pay`.\n",
    "other_tasks.py": """
from svcjobs_celery_compat import Celery
app = Celery()

@app.task
def foreign():
    '''Of another module.'''
""",
    "shop_tasks.py": """
from other_tasks import foreign
from svcjobs_celery_compat import Celery, shared_task
app = Celery()

@app.task(bind=True)
def pay(self, order: int, amount=3):
    '''Pays an order.'''

@shared_task
def remind(customer):
    '''Reminds a customer.'''
""",
}


def test_tasks_are_documented(tmp_path: Path) -> None:
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text)
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(tmp_path), str(tmp_path / "out")],
        env={"PYTHONPATH": f"{root}:{tmp_path}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "index.html").read_text()
    shown = re.sub(r"<[^>]+>", "", page)
    assert "(task) shop_tasks.pay(order: int, amount=3)" in shown
    assert "Pays an order." in shown
    assert "(task) shop_tasks.remind(customer)" in shown
    assert "Reminds a customer." in shown
    assert "foreign" not in shown
    assert 'href="#shop_tasks.pay"' in page
