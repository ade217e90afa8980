"""What a caller asks an export for."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

from hatchpay.admin.views import Actor
from hatchpay.audit.export.ports import Format
from hatchpay.audit.export.run import Order
from hatchpay.audit.naming import recorded_id
from hatchpay.control.history_query import HistoryConditions
from hatchpay.errors import InvalidInput

__all__ = ["ExportQuery"]

_LONGEST: Final = 18


def _sequence(text: object, _: object) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= _LONGEST and str(int(text)) == text:
        return int(text)
    raise PydanticCustomError("invalid_cursor", "must be a cursor that an export has given")


_PATTERN: Final = f"^(0|[1-9][0-9]{{0,{_LONGEST - 1}}})$"

Sequence = Annotated[int, WrapValidator(_sequence), WithJsonSchema({"type": "string", "pattern": _PATTERN})]


class ExportQuery(HistoryConditions):
    """Which records, and as what."""

    format: Format = Field(description="csv, jsonl, parquet or ocsf")
    after: Sequence | None = Field(
        default=None, description="Behind there: `seq` of the last line that arrived whole, or what a header has said"
    )
    upto: Sequence | None = Field(
        default=None, description="Up to there: `HatchPay-Export-Upto` of the export that is continued"
    )
    header: Literal["present", "absent"] | None = Field(
        default=None, description="Of CSV only: whether the first line names the fields; it does unless told not to"
    )

    def order_for(self, actor: Actor) -> Order:
        """Raises InvalidInput for a header where there can be none."""
        if self.header is not None and self.format != "csv":
            raise InvalidInput("only CSV has a header", field="header")
        return Order(
            wanted=self.filter_for(actor.principal),
            format=self.format,
            request_id=actor.request_id,
            principal_id=recorded_id(actor.principal),
            after=self.after or 0,
            upto=self.upto,
            header=self.header != "absent",
        )
