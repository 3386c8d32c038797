"""Indexes the Python standard library, one background job per source file and question.

Run it with ``make demo``, or ``python -m examples.stdlib_index --help``.
"""
