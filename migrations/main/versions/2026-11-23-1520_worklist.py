"""Saved filters of the worklist"""

import sqlalchemy as sa
from alembic import op

revision = "0006worklist"
down_revision = "0005schedule"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
