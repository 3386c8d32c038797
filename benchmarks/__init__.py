"""What queueing costs: ``python -m benchmarks --help``. docs/benchmarks/notes.md says how each measure is taken."""
