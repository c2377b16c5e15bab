"""Central's ROIs are tracks too"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012bank_tracks"
down_revision = "0011tracks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("bank_roi", sa.Column("kind", sa.String(length=16), nullable=False, server_default="rectangle"))
    for name in ("keyframes", "out_of_view"):
        empty = sa.text("'[]'::jsonb")
        op.add_column("bank_roi", sa.Column(name, postgresql.JSONB(), nullable=False, server_default=empty))
    op.execute(
        "UPDATE bank_roi SET keyframes = jsonb_build_array(jsonb_build_array(frame, jsonb_build_array("
        "jsonb_build_array(x, y), jsonb_build_array(x + width, y + height))))"
    )
    for name in ("kind", "keyframes", "out_of_view"):
        op.alter_column("bank_roi", name, server_default=None)


def downgrade() -> None:
    for name in ("out_of_view", "keyframes", "kind"):
        op.drop_column("bank_roi", name)
