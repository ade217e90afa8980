"""Alembic migrations of the directory; `store.directory_migrate` runs them."""
