"""Migrations of the state database, numbered; Alembic runs them when a state is opened."""
