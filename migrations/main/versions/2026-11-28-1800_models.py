"""The registry of models and their files"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018models"
down_revision = "0017heart"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "model_version",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("classes", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.TEXT(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("dataset", postgresql.JSONB(), nullable=False),
        sa.Column("metrics", postgresql.JSONB(), nullable=False),
        sa.Column("intended_use", sa.String(length=1000), nullable=False),
        sa.Column("licence", sa.String(length=100), nullable=False),
        sa.Column("shippable", sa.Boolean(), nullable=False),
        sa.Column("card", sa.String(length=100000), nullable=False),
        sa.Column("registered_by", sa.Uuid(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["registered_by"], ["user.id"]),
        sa.ForeignKeyConstraint(["decided_by"], ["user.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", "version"),
    )
    in_effect = sa.text("state IN ('PROMOTED', 'ACCEPTED')")
    op.create_index("model_in_effect", "model_version", ["domain"], unique=True, postgresql_where=in_effect)
    op.create_table(
        "model_file",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model_version.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model_id", "path"),
    )
    op.create_index("ix_model_file_model_id", "model_file", ["model_id"])
    op.create_index("ix_model_file_sha256", "model_file", ["sha256"])


def downgrade() -> None:
    op.drop_table("model_file")
    op.drop_table("model_version")
