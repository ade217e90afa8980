"""What tokens need: signing keys, trusted issuers, revoked tokens, and the URLs that tokens are issued under."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.String(36)


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("enabled_from_us", sa.BigInteger))
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String(64), nullable=False),
        sa.Column("algorithm", sa.String(8), nullable=False),
        sa.Column("public_jwk", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("signs_from_us", sa.BigInteger, nullable=False),
        sa.Column("retired_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_keys"),
    )
    op.create_table(
        "issuers",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("issuer", sa.String(2048), nullable=False),
        sa.Column("audience", sa.String(2048), nullable=False),
        sa.Column("jwks_url", sa.String(2048)),
        sa.Column("algorithms", sa.Text, nullable=False),
        sa.Column("ceiling", sa.Text, nullable=False),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("document", sa.LargeBinary),
        sa.Column("fetched_us", sa.BigInteger),
        sa.Column("tried_us", sa.BigInteger),
        sa.Column("asked_us", sa.BigInteger),
        sa.Column("failure", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_issuers"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_issuers_tenant_id"),
        sa.UniqueConstraint("issuer", "audience", name="uq_issuers_issuer_audience"),
    )
    op.create_index("ix_issuers_tenant_id_id", "issuers", ["tenant_id", "id"])
    op.create_table(
        "revoked_tokens",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("ends_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revoked_tokens"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_revoked_tokens_tenant_id"),
    )
    op.create_index("ix_revoked_tokens_ends_us", "revoked_tokens", ["ends_us"])
    op.create_table(
        "served_urls",
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("served_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("url", name="pk_served_urls"),
    )
