"""What Alembic runs: the migrations, one transaction, on the connection it is handed."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
sqlite = connection.dialect.name == "sqlite"
context.configure(connection=connection, transaction_per_migration=False)
if sqlite:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
with context.begin_transaction():  # its end commits, also what BEGIN IMMEDIATE opened
    context.run_migrations()
