"""Alembic's entry: runs on the connection handed over by ``hub.store.migrations.upgrade``, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
