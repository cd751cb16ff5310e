"""Alembic's entry: migrations run on the connection that ``processing.migrate`` hands over."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection

from processing.database import Database
from processing.tables import metadata


def run(connection: Connection) -> None:
    """Run the migrations that the command line asked for."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        user_module_prefix="tables.",
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with Database(os.environ["TILLGATE_DATABASE_URL"]).transaction() as own:
        run(own)
