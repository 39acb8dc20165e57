"""One port, one technology, one file; only this package knows Redis, Celery and object stores."""
