"""How streams are shown, to callers and in audit events. Nothing that is sealed is."""

from __future__ import annotations

from hatchpay.admin.stream_views import StreamSecretView, StreamView
from hatchpay.admin.versions import etag
from hatchpay.audit.redact import redact_url
from hatchpay.audit.stream.ports import StreamHealth
from hatchpay.audit.stream.row import StreamRow
from hatchpay.clock import format_time

__all__ = ["stream_facts", "stream_view"]


def stream_view(row: StreamRow, health: StreamHealth, now: int) -> StreamView:
    return StreamView(
        id=row.id,
        name=row.name,
        kind=row.kind,
        destination_url=row.destination_url,
        business_unit_ids=row.business_unit_ids,
        event_types=row.event_types,
        header_names=row.header_names,
        secrets=tuple(
            StreamSecretView(format_time(secret.created_us), _time(secret.ends_us))
            for secret in row.secrets
            if secret.ends_us is None or secret.ends_us > now
        ),
        ca_pem=row.ca_pem,
        status="enabled" if row.enabled else "disabled",
        disabled_reason=row.disabled_reason,
        state=health.state,
        lag_records=health.lag_records,
        lag_seconds=round(health.lag_seconds, 3),
        delivered=health.delivered,
        dead_letters=health.dead_letters,
        last_success_at=_time(health.last_success_us),
        last_error=health.last_error,
        last_error_at=_time(health.last_error_us),
        last_status=health.last_status,
        retry_at=_time(health.retry_us),
        created_at=format_time(row.created_us),
        updated_at=format_time(row.updated_us),
    ).tagged(etag(row))


def stream_facts(row: StreamRow) -> dict[str, object]:
    """What an audit event tells of a stream."""
    scheme, _, rest = row.destination_url.partition("://")
    authority, slash, target = rest.partition("/")
    path, _, query = (slash + target).encode().partition(b"?")
    return {
        "name": row.name,
        "kind": row.kind,
        "destination_url": f"{scheme}://{authority}{redact_url(path, query) if path else ''}",
        "business_unit_ids": row.business_unit_ids,
        "event_types": row.event_types,
        "header_names": row.header_names,
        "ca_pem": row.ca_pem is not None,
        "status": "enabled" if row.enabled else "disabled",
        "disabled_reason": row.disabled_reason,
    }


def _time(us: int | None) -> str | None:
    return None if us is None else format_time(us)
