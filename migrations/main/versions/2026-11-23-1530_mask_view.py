"""A frame that was given to a person's page, and one that was on their screen"""

import sqlalchemy as sa
from alembic import op

revision = "0007mask_view"
down_revision = "0006worklist"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("mask_view", sa.Column("is_shown", sa.Boolean(), nullable=False, server_default=sa.text("true")))
    op.alter_column("mask_view", "is_shown", server_default=None)


def downgrade() -> None:
    op.execute("DELETE FROM mask_view WHERE NOT is_shown")
    op.drop_column("mask_view", "is_shown")
