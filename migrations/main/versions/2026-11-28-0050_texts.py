"""Text that was found in a candidate, and what de-identification did to each image that left"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009texts"
down_revision = "0008openmasks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("image_mask", sa.Column("texts", postgresql.JSONB(), nullable=False, server_default=sa.text("'[]'")))
    op.alter_column("image_mask", "texts", server_default=None)
    op.add_column("image_mask", sa.Column("text_read", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.alter_column("image_mask", "text_read", server_default=None)
    op.create_table(
        "deid_report",
        sa.Column("packaged_image_id", sa.Uuid(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["packaged_image_id"], ["packaged_image.id"]),
        sa.PrimaryKeyConstraint("packaged_image_id"),
    )


def downgrade() -> None:
    op.drop_table("deid_report")
    op.drop_column("image_mask", "text_read")
    op.drop_column("image_mask", "texts")
