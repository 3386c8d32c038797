"""The mutations of tests/chaos/mutations.py can still be made: what they replace is there, and so are the tests."""

from __future__ import annotations

import pytest

from tests.chaos.mutations import MUTATIONS, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_replaces_what_is_there_and_names_tests(mutation: Mutation) -> None:
    assert mutation.old in (ROOT / mutation.path).read_text()
    tests = ROOT / mutation.tests
    text = "".join(file.read_text() for file in (sorted(tests.glob("test_*.py")) if tests.is_dir() else [tests]))
    assert all(word in text for word in mutation.select.split(" or "))
