"""The conditions of an export: as they are shown and kept, and whether a record can have met them.

Addresses, paths and names of callers may be somebody's personal data, which an erasure must be able to destroy. So they
are not kept with the export; that there was such a condition is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hatchpay.audit.ports import HistoryFilter
from hatchpay.audit.record import Record
from hatchpay.clock import format_time

__all__ = ["kept_conditions", "may_contain", "shown_conditions"]

_WITHHELD: Final = ("path", "principal_id", "client_ip")
_NOT_KEPT: Final = "[not kept]"


def shown_conditions(wanted: HistoryFilter) -> dict[str, str]:
    """By the names of the call's parameters."""
    status = wanted.status
    given = {
        "from": None if wanted.from_us is None else format_time(wanted.from_us),
        "to": None if wanted.to_us is None else format_time(wanted.to_us),
        "method": wanted.method,
        "route": wanted.route,
        "status": None if status is None else str(status[0]) if status[0] == status[1] else f"{status[0] // 100}xx",
        "key_id": wanted.key_id,
        "business_unit_id": wanted.business_unit_id,
        "request_id": wanted.request_id,
        "min_ms": None if wanted.min_us is None else f"{wanted.min_us / 1000:g}",
        **{name: None if getattr(wanted, name) is None else _NOT_KEPT for name in _WITHHELD},
    }
    return {name: value for name, value in given.items() if value is not None}


def kept_conditions(wanted: HistoryFilter) -> HistoryFilter:
    """Weaker than `wanted`: without what is not kept."""
    return msgspec.structs.replace(wanted, path=None, principal_id=None, client_ip=None, before=None, after=None)


def may_contain(kept: HistoryFilter, record: Record) -> bool:
    """Whether an export under these conditions may have held the record, as far as its number goes."""
    return (
        record.tenant_id == kept.tenant_id
        and (kept.business_unit_ids is None or record.business_unit_id in kept.business_unit_ids)
        and (kept.from_us is None or record.started_us >= kept.from_us)
        and (kept.to_us is None or record.started_us < kept.to_us)
        and kept.method in {None, record.method}
        and kept.route in {None, record.route}
        and kept.key_id in {None, record.key_id}
        and kept.business_unit_id in {None, record.business_unit_id}
        and kept.request_id in {None, record.request_id}
        and (kept.min_us is None or record.response_time_us >= kept.min_us)
        and (kept.status is None or (record.status is not None and kept.status[0] <= record.status <= kept.status[1]))
    )
