"""The week of low-load windows and its caps"""

import sqlalchemy as sa
from alembic import op

revision = "0005schedule"
down_revision = "0004people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
