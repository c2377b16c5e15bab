"""Mask rules that a site makes by itself, their published versions, and which masks a person drew"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010device_rules"
down_revision = "0009texts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "device_rule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", postgresql.TEXT(), nullable=False),
        sa.Column("manufacturer", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("aliases", postgresql.JSONB(), nullable=False),
        sa.Column("software", sa.String(length=64), nullable=False),
        sa.Column("image_type", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("scale", sa.String(length=16), nullable=False),
        sa.Column("outside", sa.Boolean(), nullable=False),
        sa.Column("rects", postgresql.JSONB(), nullable=False),
        sa.Column("sample_image_id", sa.Uuid(), nullable=True),
        sa.Column("tested", postgresql.JSONB(), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("edits", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["user.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_device_rule_state", "device_rule", ["state"])
    op.create_table(
        "device_rule_version",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("sample_image_id", sa.Uuid(), nullable=True),
        sa.Column("tested", postgresql.JSONB(), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("published_by", sa.Uuid(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["rule_id"], ["device_rule.id"]),
        sa.ForeignKeyConstraint(["published_by"], ["user.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("rule_id", "number"),
    )
    # A published version never changes, whoever writes to the table.
    op.execute(
        "CREATE FUNCTION device_rule_version_is_fixed() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'a published version of a rule never changes'; END $$"
    )
    op.execute(
        "CREATE TRIGGER device_rule_version_is_fixed BEFORE UPDATE ON device_rule_version "
        "FOR EACH ROW EXECUTE FUNCTION device_rule_version_is_fixed()"
    )
    op.add_column("image_mask", sa.Column("is_drawn", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.execute("UPDATE image_mask SET is_drawn = true WHERE revision > 1")
    op.alter_column("image_mask", "is_drawn", server_default=None)


def downgrade() -> None:
    op.drop_column("image_mask", "is_drawn")
    op.drop_table("device_rule_version")
    op.execute("DROP FUNCTION device_rule_version_is_fixed()")
    op.drop_table("device_rule")
