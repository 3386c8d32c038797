"""WorkerRunner, on the queue in memory."""
