"""The vault's tables, in a schema and under a database role of their own: sealed values, blind indexes, random IDs."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)

SCHEMA: Final = "vault"

metadata: Final = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    },
)

# The linkage row. Twins (one person under two chart IDs) point with `same_as` at the one that stands for them.
patient: Final = Table(
    "patient",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("chart_index", LargeBinary, nullable=False, unique=True),
    Column("sealed_chart", LargeBinary, nullable=False),
    Column("rule_version", Text, nullable=False, index=True),
    Column("same_as", Uuid, ForeignKey("vault.patient.id"), index=True),
    Column("research_id", Uuid, unique=True),
    Column("sealed_date_offset", LargeBinary),
    Column("sealed_uid_secret", LargeBinary),
    CheckConstraint(
        "num_nulls(research_id, sealed_date_offset, sealed_uid_secret) IN (0, 3)", name="linked_wholly_or_not"
    ),
)

# `sealed_person` and `sealed_extra` go with the purge; what is left finds the study again and keeps the way back.
case_identity: Final = Table(
    "case_identity",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("patient_id", Uuid, ForeignKey("vault.patient.id"), nullable=False, index=True),
    Column("sealed_accession", LargeBinary),
    Column("accession_index", LargeBinary, index=True),
    Column("sealed_study_uid", LargeBinary),
    Column("study_uid_index", LargeBinary, index=True),
    Column("sealed_person", LargeBinary),
    Column("sealed_extra", LargeBinary),
    Column("outward_case_id", Uuid, unique=True),
)

instance_identity: Final = Table(
    "instance_identity",
    metadata,
    Column("instance_id", Uuid, primary_key=True),
    Column("case_id", Uuid, ForeignKey("vault.case_identity.case_id"), nullable=False),
    Column("sop_index", LargeBinary, nullable=False, index=True),
    Column("sealed_identity", LargeBinary, nullable=False),
    Column("sealed_sha256", LargeBinary),
    Column("size_bytes", BigInteger),
    UniqueConstraint("case_id", "sop_index"),
)

opt_out: Final = Table(
    "opt_out",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("chart_index", LargeBinary, nullable=False, unique=True),
    Column("sealed_chart", LargeBinary, nullable=False),
    Column("rule_version", Text, nullable=False, index=True),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Free text that people wrote about a case; it may name anybody, and goes with the purge.
remark: Final = Table(
    "remark",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("case_id", Uuid, ForeignKey("vault.case_identity.case_id"), nullable=False, index=True),
    Column("sealed_text", LargeBinary, nullable=False),
)

# Every sealed column, for the job that rotates keys.
SEALED_COLUMNS: Final = (
    (patient, "sealed_chart"),
    (patient, "sealed_date_offset"),
    (patient, "sealed_uid_secret"),
    (case_identity, "sealed_accession"),
    (case_identity, "sealed_study_uid"),
    (case_identity, "sealed_person"),
    (case_identity, "sealed_extra"),
    (instance_identity, "sealed_identity"),
    (instance_identity, "sealed_sha256"),
    (opt_out, "sealed_chart"),
    (remark, "sealed_text"),
)
