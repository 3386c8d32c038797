"""docs/guide-matrix.md has every section of the guide, and names only tests that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.server_program import ROOT

MATRIX = (ROOT / "docs" / "guide-matrix.md").read_text()
GUIDE = ROOT.parent / "shared" / "guide.md"
OURS = "## Beyond the guide: the original library's own tests"
HEADINGS = """
## Overview
## Quick Start
### Basic Setup
### Processing Jobs
### CLI Runner
## Configuration
### Environment Variables
### Backend Selection
### Programmatic Configuration
## Enqueueing Jobs
### Basic Enqueue
### Delayed Jobs
### Job Properties
## Job Handlers
### Handler Function
### Handler Registry Pattern
### JobRegistry (Recommended)
### Dependency Injection in Handlers
## Worker Runner
### Basic Worker Loop
### Graceful Shutdown
### Multiple Workers
## Scheduling
### Interval-Based Scheduling
### Environment-Based Schedule
### Target Format
## Reliability
### Visibility Timeout
### Retry with Exponential Backoff
### Dead Letter Queue
### Idempotency Patterns
## Built-in Jobs
### Webhook Delivery
### Outbox Processing
## Redis Queue Details
### Redis Keys
### Atomic Operations
### Visibility Timeout Requeue
## Worker Deployment
### CLI Usage
### Docker Deployment
### Kubernetes Deployment
### Scaling Workers
## Monitoring
### Job Metrics
### DLQ Alerting
## Testing
### In-Memory Queue
### Testing with fakeredis
### Testing Handlers
## Production Recommendations
### Redis Configuration
### Worker Sizing
### Job Timeouts
### Graceful Shutdown
## Troubleshooting
### Stuck Jobs
### Memory Leaks
### Jobs Retrying Forever
### Lost Jobs
### Slow Processing
## See Also
""".strip().splitlines()
TESTS = re.findall(r"^\| .+ \| `(tests/[^`]+)` \|$", MATRIX, re.MULTILINE)


def headings(text: str) -> list[str]:
    """The headings of levels 2 and 3, outside of code."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^###? .+$", prose, re.MULTILINE)


@cache
def functions(path: Path) -> set[str]:
    """The test functions of a file."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_sections_are_those_of_the_guide_in_its_order() -> None:
    assert headings(MATRIX) == [*HEADINGS, OURS]


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide isn't part of the repository")
def test_the_list_of_sections_is_up_to_date() -> None:
    assert headings(GUIDE.read_text()) == HEADINGS


def test_every_section_with_content_has_rows() -> None:
    sections = re.split(r"^(###? .+)$", MATRIX, flags=re.MULTILINE)[1:]
    following = [*HEADINGS[1:], ""]
    for heading, body, after in zip(sections[::2], sections[1::2], following, strict=False):
        is_a_parent = heading.startswith("## ") and after.startswith("### ")
        assert is_a_parent or "| `tests/" in body, f"{heading} has no test"


@pytest.mark.parametrize("test", sorted(set(TESTS)))
def test_every_test_that_is_named_exists(test: str) -> None:
    file, _, function = test.partition("::")
    assert function.startswith("test_")
    assert function in functions(ROOT / file)


def test_every_row_names_a_test() -> None:
    rows = [line for line in MATRIX.splitlines() if line.startswith("| ") and not line.endswith("| Test |")]
    assert len(rows) == len(TESTS) > 100


def test_every_test_of_the_guide_is_named() -> None:
    named = Counter(TESTS)
    folder = ROOT / "tests" / "compat"
    for path in (*sorted(folder.glob("test_guide_*.py")), folder / "test_original_library.py"):
        for function in functions(path):
            if function.startswith("test_"):
                assert named[f"{path.relative_to(ROOT)}::{function}"], f"{path.name}::{function} has no row"
