"""What a model proposes on an image, and how a person answered"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014proposals"
down_revision = "0013steps"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "proposal_set",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("image_id", sa.Uuid(), sa.ForeignKey("site_image.id"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("image_id", "digest", "model", "model_version"),
    )
    op.create_index("ix_proposal_set_image_id", "proposal_set", ["image_id"])
    op.create_table(
        "proposal",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("set_id", sa.Uuid(), sa.ForeignKey("proposal_set.id"), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("points", postgresql.JSONB(), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("state", sa.TEXT(), nullable=False),
        sa.Column("roi_id", sa.Uuid(), sa.ForeignKey("roi.id")),
        sa.Column("answered_by", sa.Uuid(), sa.ForeignKey("user.id")),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_proposal_set_id", "proposal", ["set_id"])


def downgrade() -> None:
    op.drop_table("proposal")
    op.drop_table("proposal_set")
