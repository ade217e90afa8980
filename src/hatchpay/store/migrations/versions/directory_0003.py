"""What fine-grained access needs: policies, roles for chosen units, archived units, and rate limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.String(36)


def upgrade() -> None:
    op.add_column("business_units", sa.Column("updated_us", sa.BigInteger))
    op.execute("UPDATE business_units SET updated_us = created_us")
    op.add_column("business_units", sa.Column("archived_us", sa.BigInteger))
    op.add_column("key_roles", sa.Column("business_unit_ids", sa.Text))
    op.add_column("roles", sa.Column("rate_limits", sa.Text, nullable=False, server_default="[]"))
    op.add_column("api_keys", sa.Column("rate_limits", sa.Text, nullable=False, server_default="[]"))
    op.create_table(
        "policies",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_policies_tenant_id"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_policies_tenant_id_name"),
    )
    op.create_index("ix_policies_tenant_id_id", "policies", ["tenant_id", "id"])
