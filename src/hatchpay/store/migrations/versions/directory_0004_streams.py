"""Streams of the record to other systems."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_streams"
down_revision = "0003"

_ID = sa.String(36)


def upgrade() -> None:
    op.create_table(
        "streams",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("destination_url", sa.String(2048), nullable=False),
        sa.Column("business_unit_ids", sa.Text),
        sa.Column("event_types", sa.Text),
        sa.Column("header_names", sa.Text, nullable=False),
        sa.Column("sealed_headers", sa.LargeBinary),
        sa.Column("secrets", sa.Text, nullable=False),
        sa.Column("ca_pem", sa.Text),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.String(64)),
        sa.Column("start_seq", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_streams"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_streams_tenant_id"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_streams_tenant_id_name"),
    )
    op.create_index("ix_streams_tenant_id_id", "streams", ["tenant_id", "id"])
