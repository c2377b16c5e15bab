"""ROIs are tracks: a shape on each keyframe, spans out of view, uncertain points, and what the object is for"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011tracks"
down_revision = "0010device_rules"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("roi", sa.Column("kind", sa.String(length=16), nullable=False, server_default="rectangle"))
    op.add_column("roi", sa.Column("use", sa.String(length=16), nullable=False, server_default="lesion"))
    for name in ("keyframes", "out_of_view", "uncertain"):
        empty = sa.text("'[]'::jsonb")
        op.add_column("roi", sa.Column(name, postgresql.JSONB(), nullable=False, server_default=empty))
    # What was drawn so far is a rectangle of one keyframe.
    op.execute(
        "UPDATE roi SET keyframes = jsonb_build_array(jsonb_build_array(frame, jsonb_build_array("
        "jsonb_build_array(x, y), jsonb_build_array(x + width, y + height))))"
    )
    for name in ("kind", "use", "keyframes", "out_of_view", "uncertain"):
        op.alter_column("roi", name, server_default=None)


def downgrade() -> None:
    for name in ("uncertain", "out_of_view", "keyframes", "use", "kind"):
        op.drop_column("roi", name)
