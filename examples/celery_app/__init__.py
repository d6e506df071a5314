"""Messages of a topic become Celery tasks, and tasks push."""
