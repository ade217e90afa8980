"""The first tables, and the platform's own tenant, so that nobody else can take its id or its name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.String(36)
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_PLATFORM = {"id": "00000000-0000-7000-8000-000000000000", "name": "platform", "created_us": 0}


def upgrade() -> None:
    _tenancy()
    _roles()
    _keys()
    _streams()


def _tenancy() -> None:
    tenants = op.create_table(
        "tenants",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("name", name="uq_tenants_name"),
    )
    op.bulk_insert(tenants, [_PLATFORM])
    op.create_table(
        "business_units",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("timezone_name", sa.String(120), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_business_units"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_business_units_tenant_id"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_business_units_tenant_id_name"),
    )
    op.create_index("ix_business_units_tenant_id_id", "business_units", ["tenant_id", "id"])


def _roles() -> None:
    op.create_table(
        "permissions",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("read_only", sa.Boolean, nullable=False),
        sa.Column("sensitive", sa.Boolean, nullable=False),
        sa.Column("administrative", sa.Boolean, nullable=False),
        sa.Column("platform", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_permissions"),
    )
    op.create_table(
        "roles",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("builtin", sa.Boolean, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_roles_tenant_id"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_roles_tenant_id_name"),
    )
    op.create_index("ix_roles_tenant_id_id", "roles", ["tenant_id", "id"])
    op.create_table(
        "role_permissions",
        sa.Column("role_id", _ID, nullable=False),
        sa.Column("permission", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("role_id", "permission", name="pk_role_permissions"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_role_permissions_role_id"),
        sa.ForeignKeyConstraint(["permission"], ["permissions.name"], name="fk_role_permissions_permission"),
    )


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("environment", sa.String(4), nullable=False),
        sa.Column("owner", sa.String(200)),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("expires_us", sa.BigInteger),
        sa.Column("business_unit_ids", sa.Text),
        sa.Column("allowed_cidrs", sa.Text),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("deleted_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_api_keys_tenant_id"),
        sa.CheckConstraint("environment IN ('live', 'test')", name="ck_api_keys_environment"),
    )
    op.create_index("ix_api_keys_tenant_id_id", "api_keys", ["tenant_id", "id"])
    op.create_table(
        "key_roles",
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("role_id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "role_id", name="pk_key_roles"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_key_roles_key_id"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_key_roles_role_id"),
    )
    op.create_index("ix_key_roles_role_id", "key_roles", ["role_id"])
    op.create_table(
        "key_secrets",
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("pepper_version", sa.Integer, nullable=False),
        sa.Column("last_four", sa.String(4), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("ends_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("key_id", "version", name="pk_key_secrets"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_key_secrets_key_id"),
    )
    op.create_index("ix_key_secrets_pepper_version", "key_secrets", ["pepper_version"])


def _streams() -> None:
    op.create_table(
        "feed",
        sa.Column("seq", _SEQUENCE, nullable=False, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject_id", sa.String(200), nullable=False),
        sa.Column("tenant_id", _ID),
        sa.PrimaryKeyConstraint("seq", name="pk_feed"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox",
        sa.Column("seq", _SEQUENCE, nullable=False, autoincrement=True),
        sa.Column("id", _ID, nullable=False),
        sa.Column("request_id", _ID, nullable=False),
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("event", sa.String(200), nullable=False),
        sa.Column("subject_id", sa.String(200), nullable=False),
        sa.Column("detail", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox"),
        sa.UniqueConstraint("id", name="uq_outbox_id"),
        sqlite_autoincrement=True,
    )
