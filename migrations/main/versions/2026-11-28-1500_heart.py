"""Which view of the heart a cine shows, and which of its frames are end diastole and end systole"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017heart"
down_revision = "0016reads"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "frame_marks",
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("view", sa.String(length=32), nullable=True),
        sa.Column("beats", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["site_image.id"]),
        sa.PrimaryKeyConstraint("image_id"),
    )


def downgrade() -> None:
    op.drop_table("frame_marks")
