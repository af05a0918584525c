"""What Alembic runs: the migrations, one transaction, on the connection it is handed."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
sqlite = connection.dialect.name == "sqlite"
context.configure(connection=connection, transaction_per_migration=False, transactional_ddl=True)
connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "SELECT pg_advisory_xact_lock(4712)")  # several processes may open a new state at once: the first makes it
with context.begin_transaction():  # its end commits, also what BEGIN IMMEDIATE opened
    context.run_migrations()
