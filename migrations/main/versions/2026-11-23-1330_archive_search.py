"""What QIDO-RS matches and WADO-RS decodes with, kept in the archive's rows"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003archive"
down_revision = "0002tables"
branch_labels = None
depends_on = None

_ADDED = (
    ("study", "patient_name_key", sa.String(), "''"),
    ("study", "referring_physician_key", sa.String(), "''"),
    ("series", "performed_date", sa.String(length=8), "''"),
    ("series", "performed_time", sa.String(length=16), "''"),
    ("series", "scheduled_step_ids", postgresql.ARRAY(sa.TEXT()), "'{}'"),
    ("series", "requested_procedure_ids", postgresql.ARRAY(sa.TEXT()), "'{}'"),
    ("series", "request_json", sa.String(), "''"),
    ("instance", "pixel", sa.String(), "''"),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table, name, kind, default in _ADDED:
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
        op.alter_column(table, name, server_default=None)
    op.add_column("instance", sa.Column("bits_allocated", sa.Integer(), nullable=True))
    op.create_index("ix_study_modalities", "study", ["modalities"], postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_study_modalities", table_name="study")
    op.drop_column("instance", "bits_allocated")
    for table, name, _, _ in reversed(_ADDED):
        op.drop_column(table, name)
