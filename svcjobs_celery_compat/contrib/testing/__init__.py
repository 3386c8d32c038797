"""Apps, messages and workers for tests."""
