"""Log-in by OpenID Connect and one-time passwords"""

import sqlalchemy as sa
from alembic import op

revision = "0004people"
down_revision = "0003archive"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
