"""Second readings, review comments, and how curation gets on"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016reads"
down_revision = "0015form_defaults"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "case_read",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("reader_id", sa.Uuid(), nullable=False),
        sa.Column("assigned_by", sa.Uuid(), nullable=False),
        sa.Column("state", postgresql.TEXT(), nullable=False),
        sa.Column("due", sa.Date(), nullable=True),
        sa.Column("values", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["site_case.id"]),
        sa.ForeignKeyConstraint(["reader_id"], ["user.id"]),
        sa.ForeignKeyConstraint(["assigned_by"], ["user.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_case_read_case_id", "case_read", ["case_id"])
    op.create_index("ix_case_read_reader", "case_read", ["reader_id", "state"])
    op.create_index(
        "ix_case_read_one_each",
        "case_read",
        ["case_id", "reader_id"],
        unique=True,
        postgresql_where=sa.text("state <> 'CANCELLED'"),
    )
    op.create_table(
        "read_roi",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("read_id", sa.Uuid(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["read_id"], ["case_read.id"]),
        sa.ForeignKeyConstraint(["image_id"], ["site_image.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_read_roi_read_id", "read_roi", ["read_id"])
    op.create_table(
        "read_edit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("read_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["read_id"], ["case_read.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "object_id", "version"),
    )
    op.create_index("ix_read_edit_read_id", "read_edit", ["read_id"])
    op.create_table(
        "review_comment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("roi_id", sa.Uuid(), nullable=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["site_case.id"]),
        sa.ForeignKeyConstraint(["roi_id"], ["roi.id"]),
        sa.ForeignKeyConstraint(["parent_id"], ["review_comment.id"]),
        sa.ForeignKeyConstraint(["by"], ["user.id"]),
        sa.ForeignKeyConstraint(["resolved_by"], ["user.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_review_comment_case_id", "review_comment", ["case_id"])
    op.create_table(
        "case_wait",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["site_case.id"]),
        sa.ForeignKeyConstraint(["by"], ["user.id"]),
        sa.PrimaryKeyConstraint("case_id"),
    )
    op.create_table(
        "target",
        sa.Column("domain", sa.String(length=32), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("domain", "code"),
    )
    op.create_table(
        "reminder",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.String(length=254), nullable=False),
        sa.Column("sent_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"]),
        sa.PrimaryKeyConstraint("user_id"),
    )
    # What a person did in a day, and how long it took, is read from the moments of their edits.
    op.create_index("ix_edit_by_at", "edit", ["by", "at"])


def downgrade() -> None:
    op.drop_index("ix_edit_by_at", "edit")
    for table in ("reminder", "target", "case_wait", "review_comment", "read_edit", "read_roi", "case_read"):
        op.drop_table(table)
