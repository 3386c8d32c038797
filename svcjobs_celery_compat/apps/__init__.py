"""The programs: worker, beat and multi."""
