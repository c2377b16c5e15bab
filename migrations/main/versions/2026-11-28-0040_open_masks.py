"""Masks that wait for a person, and pictures that were rejected, found by small indexes of their own"""

from alembic import op

revision = "0008openmasks"
down_revision = "0007mask_view"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE INDEX ix_image_mask_open ON image_mask (image_id) WHERE state = 'PROPOSED'")
    op.execute("CREATE INDEX ix_pick_rejected ON pick (image_id) WHERE picked IS FALSE")


def downgrade() -> None:
    op.drop_index("ix_pick_rejected", "pick")
    op.drop_index("ix_image_mask_open", "image_mask")
