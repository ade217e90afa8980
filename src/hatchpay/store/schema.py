"""The directory's tables, as they are at the newest migration.

Times are microseconds since the epoch; lists and maps are JSON text; NULL in a limit means unbounded. Nothing
is particular to SQLite but the integer type that it needs to number rows by itself.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "HEAD",
    "api_keys",
    "business_units",
    "feed",
    "issuers",
    "key_roles",
    "key_secrets",
    "metadata",
    "outbox",
    "permissions",
    "policies",
    "revoked_tokens",
    "role_permissions",
    "roles",
    "served_urls",
    "signing_keys",
    "streams",
    "tenants",
]

HEAD: Final = "0004_streams"
"""The newest migration, known without importing Alembic."""

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)
_SEQUENCE: Final = BigInteger().with_variant(Integer, "sqlite")

tenants: Final = Table(
    "tenants",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(120), nullable=False, unique=True),
    Column("created_us", BigInteger, nullable=False),
)

permissions: Final = Table(
    "permissions",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("description", Text, nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("sensitive", Boolean, nullable=False),
    Column("administrative", Boolean, nullable=False),
    # Those of the platform are kept apart: no tenant's catalogue or built-in role has them.
    Column("platform", Boolean, nullable=False),
)

roles: Final = Table(
    "roles",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", String(36), ForeignKey("tenants.id"), nullable=False),
    Column("name", String(120), nullable=False),
    Column("description", Text, nullable=False),
    Column("builtin", Boolean, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("rate_limits", Text, nullable=False, server_default="[]"),
    UniqueConstraint("tenant_id", "name"),
    Index(None, "tenant_id", "id"),
)

role_permissions: Final = Table(
    "role_permissions",
    metadata,
    Column("role_id", String(36), ForeignKey("roles.id"), primary_key=True),
    Column("permission", String(200), ForeignKey("permissions.name"), primary_key=True),
)

business_units: Final = Table(
    "business_units",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", String(36), ForeignKey("tenants.id"), nullable=False),
    Column("name", String(120), nullable=False),
    Column("timezone_name", String(120), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger),
    Column("archived_us", BigInteger),
    UniqueConstraint("tenant_id", "name"),
    Index(None, "tenant_id", "id"),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", String(36), ForeignKey("tenants.id"), nullable=False),
    Column("name", String(120), nullable=False),
    Column("description", Text, nullable=False),
    Column("environment", String(4), nullable=False),
    Column("owner", String(200)),
    Column("enabled", Boolean, nullable=False),
    Column("enabled_from_us", BigInteger),
    Column("expires_us", BigInteger),
    Column("business_unit_ids", Text),
    Column("allowed_cidrs", Text),
    Column("metadata", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("deleted_us", BigInteger),
    Column("rate_limits", Text, nullable=False, server_default="[]"),
    CheckConstraint("environment IN ('live', 'test')", name="environment"),
    Index(None, "tenant_id", "id"),
)

key_roles: Final = Table(
    "key_roles",
    metadata,
    Column("key_id", String(36), ForeignKey("api_keys.id"), primary_key=True),
    Column("role_id", String(36), ForeignKey("roles.id"), primary_key=True, index=True),
    Column("business_unit_ids", Text),
)

policies: Final = Table(
    "policies",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", String(36), ForeignKey("tenants.id"), nullable=False),
    Column("name", String(120), nullable=False),
    Column("text", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    UniqueConstraint("tenant_id", "name"),
    Index(None, "tenant_id", "id"),
)

key_secrets: Final = Table(
    "key_secrets",
    metadata,
    Column("key_id", String(36), ForeignKey("api_keys.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("pepper_version", Integer, nullable=False, index=True),
    Column("last_four", String(4), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("ends_us", BigInteger),
)

signing_keys: Final = Table(
    "signing_keys",
    metadata,
    Column("kid", String(64), primary_key=True),
    Column("algorithm", String(8), nullable=False),
    Column("public_jwk", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("signs_from_us", BigInteger, nullable=False),
    Column("retired_us", BigInteger),
)

issuers: Final = Table(
    "issuers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", String(36), ForeignKey("tenants.id"), nullable=False),
    Column("issuer", String(2048), nullable=False),
    Column("audience", String(2048), nullable=False),
    Column("jwks_url", String(2048)),
    Column("algorithms", Text, nullable=False),
    Column("ceiling", Text, nullable=False),
    Column("claims", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("document", LargeBinary),
    Column("fetched_us", BigInteger),
    Column("tried_us", BigInteger),
    Column("asked_us", BigInteger),
    Column("failure", String(64)),
    # Of one tenant only, whichever it is: else nobody could tell whose user a token means.
    UniqueConstraint("issuer", "audience"),
    Index(None, "tenant_id", "id"),
)

revoked_tokens: Final = Table(
    "revoked_tokens",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", String(36), ForeignKey("tenants.id"), nullable=False),
    # Past it nobody would accept the token anyway, and the row may go.
    Column("ends_us", BigInteger, nullable=False, index=True),
)

served_urls: Final = Table(
    "served_urls",
    metadata,
    Column("url", String(2048), primary_key=True),
    Column("served_us", BigInteger, nullable=False),
)

streams: Final = Table(
    "streams",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", String(36), ForeignKey("tenants.id"), nullable=False),
    Column("name", String(120), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("destination_url", String(2048), nullable=False),
    Column("business_unit_ids", Text),
    Column("event_types", Text),
    Column("header_names", Text, nullable=False),
    Column("sealed_headers", LargeBinary),
    Column("secrets", Text, nullable=False),
    Column("ca_pem", Text),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", String(64)),
    Column("start_seq", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    UniqueConstraint("tenant_id", "name"),
    Index(None, "tenant_id", "id"),
)

feed: Final = Table(
    "feed",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("subject_id", String(200), nullable=False),
    Column("tenant_id", String(36)),
    sqlite_autoincrement=True,
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("request_id", String(36), nullable=False),
    Column("tenant_id", String(36), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("event", String(200), nullable=False),
    Column("subject_id", String(200), nullable=False),
    Column("detail", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
