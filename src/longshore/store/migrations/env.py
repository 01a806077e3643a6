"""How Alembic runs a step here: on the connection it is given, with our tables as the aim."""

from alembic import context

from longshore.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
