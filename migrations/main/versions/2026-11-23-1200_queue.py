"""The queue's schema, as procrastinate 3.10 ships it; each minor version of it gets a migration of its own."""

from pathlib import Path

from alembic import op

revision = "0001queue"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    sql = (Path(__file__).parent.parent / "queue-3.10.sql").read_text()
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("the queue is not taken away")
