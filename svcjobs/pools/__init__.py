"""Executors: where the handlers of a child run."""
