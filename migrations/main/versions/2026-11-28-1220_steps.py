"""Saved versions know their case and what they take back; who looks at a case now"""

import sqlalchemy as sa
from alembic import op

revision = "0013steps"
down_revision = "0012bank_tracks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("edit", sa.Column("case_id", sa.Uuid(), nullable=True))
    op.execute(
        "UPDATE edit SET case_id = coalesce("
        "(SELECT case_id FROM site_image WHERE site_image.id = edit.object_id), "
        "(SELECT site_image.case_id FROM roi JOIN site_image ON site_image.id = roi.image_id WHERE roi.id = object_id), "
        "object_id)"
    )
    op.alter_column("edit", "case_id", nullable=False)
    op.create_foreign_key("edit_case_id_fkey", "edit", "site_case", ["case_id"], ["id"])
    op.create_index("ix_edit_case", "edit", ["case_id", "id"])
    op.add_column("edit", sa.Column("how", sa.String(length=8), nullable=False, server_default="do"))
    op.alter_column("edit", "how", server_default=None)
    op.add_column("edit", sa.Column("of", sa.Uuid(), nullable=True))
    op.create_foreign_key("edit_of_fkey", "edit", "edit", ["of"], ["id"])
    op.create_table(
        "case_presence",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("image", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["site_case.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"]),
        sa.PrimaryKeyConstraint("case_id", "user_id"),
    )


def downgrade() -> None:
    op.drop_table("case_presence")
    op.drop_column("edit", "of")
    op.drop_column("edit", "how")
    op.drop_index("ix_edit_case", "edit")
    op.drop_column("edit", "case_id")
