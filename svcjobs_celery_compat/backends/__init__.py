"""Result backends: where results of tasks are kept."""
