"""Messages out of, and marks into, the application's own database transaction."""
