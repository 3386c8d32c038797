"""The scheduler, on clocks and queues that tests control."""
