"""The conditions that a caller puts on the history, and those that the caller's own limits put on it."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from hatchpay.audit.ports import HistoryFilter
from hatchpay.control.fields import Ip, Moment, Uuid, time_us
from hatchpay.control.query import PageQuery, Query
from hatchpay.errors import InvalidInput
from hatchpay.identity.principal import Principal

__all__ = ["HistoryConditions", "HistoryQuery", "decode_cursor", "encode_cursor"]

_STATUS: Final = r"^[1-5]([0-9]{2}|xx)$"
_METHOD: Final = r"^[A-Za-z]{1,20}$"
_MILLISECONDS: Final = r"^[0-9]{1,9}(\.[0-9]{1,3})?$"


def _min_ms(text: str) -> str:
    if re.fullmatch(_MILLISECONDS, text) is None:
        raise PydanticCustomError("invalid_number", "must be a number from 0 on, with at most three decimals")
    return text


Path = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
PrincipalId = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Milliseconds = Annotated[str, AfterValidator(_min_ms), Field(json_schema_extra={"type": "number", "minimum": 0})]
Status = Annotated[str, StringConstraints(pattern=_STATUS)]
Method = Annotated[str, StringConstraints(pattern=_METHOD, to_upper=True)]


class HistoryConditions(Query):
    """All given conditions must hold."""

    from_: Moment | None = Field(default=None, alias="from", description="Requests that started then or later")
    to: Moment | None = Field(default=None, description="Requests that started before then")
    method: Method | None = Field(default=None, description="Such as POST")
    path: Path | None = Field(default=None, description="The exact path as it was recorded, without the query string")
    route: Path | None = Field(default=None, description="The path's template, such as /roles/{id}")
    status: Status | None = Field(default=None, description="A status such as 403, or a class such as 4xx")
    principal_id: PrincipalId | None = Field(default=None, description="Who called: a key's id, or local:<uid>")
    key_id: Uuid | None = Field(default=None, description="The API key that was used")
    business_unit_id: Uuid | None = Field(default=None, description="The business unit that it concerned")
    request_id: Uuid | None = Field(default=None, description="The one request with this HatchPay-Request-Id")
    client_ip: Ip | None = Field(default=None, description="Where it came from")
    min_ms: Milliseconds | None = Field(default=None, description="Requests that took at least so many milliseconds")

    def filter_for(self, principal: Principal) -> HistoryFilter:
        """The tenant is the caller's, whatever was asked for."""
        return HistoryFilter(
            tenant_id=principal.tenant_id,
            business_unit_ids=principal.limits.business_unit_ids,
            from_us=None if self.from_ is None else time_us(self.from_),
            to_us=None if self.to is None else time_us(self.to),
            method=self.method,
            path=self.path,
            route=self.route,
            status=None if self.status is None else _range(self.status),
            principal_id=self.principal_id,
            key_id=self.key_id,
            business_unit_id=self.business_unit_id,
            request_id=self.request_id,
            client_ip=self.client_ip,
            min_us=None if self.min_ms is None else int(Decimal(self.min_ms) * 1000),
        )


class HistoryQuery(HistoryConditions, PageQuery):
    """A page of the history."""

    def filter_for(self, principal: Principal) -> HistoryFilter:
        """Raises InvalidInput `invalid_cursor`."""
        before = None if self.cursor is None else decode_cursor(self.cursor)
        return msgspec.structs.replace(super().filter_for(principal), before=before)


def encode_cursor(sequence: int) -> str:
    return urlsafe_b64encode(str(sequence).encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> int:
    """Accepts exactly what `encode_cursor` emits. Raises InvalidInput `invalid_cursor`, 400."""
    try:
        sequence = int(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        sequence = 0
    if not 0 < sequence < 2**63 or encode_cursor(sequence) != cursor:
        raise InvalidInput(
            "must be a cursor that this list has given", code="invalid_cursor", status=400, field="cursor"
        )
    return sequence


def _range(status: str) -> tuple[int, int]:
    first = int(status.replace("x", "0"))
    return (first, first + 99) if status.endswith("xx") else (first, first)
