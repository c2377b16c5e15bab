"""Create the vault: patients, cases, instances, opt-outs."""

import sqlalchemy as sa
from alembic import op

revision = "vault0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "vault"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "patient",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("chart_index", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_chart", sa.LargeBinary(), nullable=False),
        sa.Column("rule_version", sa.Text(), nullable=False),
        sa.Column("same_as", sa.Uuid()),
        sa.Column("research_id", sa.Uuid()),
        sa.Column("sealed_date_offset", sa.LargeBinary()),
        sa.Column("sealed_uid_secret", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_patient"),
        sa.UniqueConstraint("chart_index", name="uq_patient_chart_index"),
        sa.UniqueConstraint("research_id", name="uq_patient_research_id"),
        sa.ForeignKeyConstraint(["same_as"], ["vault.patient.id"], name="fk_patient_same_as"),
        sa.CheckConstraint(
            "num_nulls(research_id, sealed_date_offset, sealed_uid_secret) IN (0, 3)",
            name="ck_patient_linked_wholly_or_not",
        ),
        schema=SCHEMA,
    )
    op.create_index("ix_patient_rule_version", "patient", ["rule_version"], schema=SCHEMA)
    op.create_index("ix_patient_same_as", "patient", ["same_as"], schema=SCHEMA)
    op.create_table(
        "case_identity",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("sealed_accession", sa.LargeBinary()),
        sa.Column("accession_index", sa.LargeBinary()),
        sa.Column("sealed_study_uid", sa.LargeBinary()),
        sa.Column("study_uid_index", sa.LargeBinary()),
        sa.Column("sealed_person", sa.LargeBinary()),
        sa.Column("sealed_extra", sa.LargeBinary()),
        sa.Column("outward_case_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("case_id", name="pk_case_identity"),
        sa.ForeignKeyConstraint(["patient_id"], ["vault.patient.id"], name="fk_case_identity_patient_id"),
        sa.UniqueConstraint("outward_case_id", name="uq_case_identity_outward_case_id"),
        schema=SCHEMA,
    )
    for column in ("patient_id", "accession_index", "study_uid_index"):
        op.create_index(f"ix_case_identity_{column}", "case_identity", [column], schema=SCHEMA)
    op.create_table(
        "instance_identity",
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("sop_index", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_identity", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_sha256", sa.LargeBinary()),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.PrimaryKeyConstraint("instance_id", name="pk_instance_identity"),
        sa.ForeignKeyConstraint(["case_id"], ["vault.case_identity.case_id"], name="fk_instance_identity_case_id"),
        sa.UniqueConstraint("case_id", "sop_index", name="uq_instance_identity_case_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_instance_identity_sop_index", "instance_identity", ["sop_index"], schema=SCHEMA)
    op.create_table(
        "opt_out",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("chart_index", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_chart", sa.LargeBinary(), nullable=False),
        sa.Column("rule_version", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_opt_out"),
        sa.UniqueConstraint("chart_index", name="uq_opt_out_chart_index"),
        schema=SCHEMA,
    )
    op.create_index("ix_opt_out_rule_version", "opt_out", ["rule_version"], schema=SCHEMA)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("opt_out", "instance_identity", "case_identity", "patient"):
        op.drop_table(table, schema=SCHEMA)
