"""Remarks of people on a case: free text, which may name anybody."""

import sqlalchemy as sa
from alembic import op

revision = "vault0002"
down_revision = "vault0001"
branch_labels = None
depends_on = None

SCHEMA = "vault"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "remark",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("sealed_text", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_remark"),
        sa.ForeignKeyConstraint(["case_id"], ["vault.case_identity.case_id"], name="fk_remark_case_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_remark_case_id", "remark", ["case_id"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("remark", schema=SCHEMA)
