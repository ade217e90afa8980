"""What a transaction is: as callers send it, as it is kept, and as it is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

__all__ = ["NewRefund", "NewTransaction", "Reach", "Refund", "State", "Transaction", "UuidText"]

State = Literal["authorized", "completed"]

_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,7})(\.[0-9]{1,2})?")
_CENT: Final = Decimal("0.01")
_LARGEST: Final = Decimal("99999999.99")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TOKEN: Final = re.compile(r"[!-~]+")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SAFE_INTEGER: Final = 2**53 - 1


def _amount(value: object) -> Decimal:
    """`"12.5"`, `12.50` and `12` are amounts; `12.500` is none, as a string or as a number."""
    readable = _AMOUNT.fullmatch(value) if isinstance(value, str) else type(value) in {int, Decimal}
    amount = Decimal(cast("str | int | Decimal", value)) if readable else Decimal(0)
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -2 and 0 < amount <= _LARGEST:
        return amount.quantize(_CENT)
    raise PydanticCustomError("amount", "Must be more than 0 and at most 99999999.99, with at most two decimals")


def _plain(text: str) -> str:
    if _CONTROL.search(text) or not text.strip():
        raise PydanticCustomError("text", "Must not be blank or hold control characters")
    return text


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise PydanticCustomError("token", "Must be visible ASCII characters without spaces")
    return text


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise PydanticCustomError("uuid", "Must be a UUID in lower case, with dashes")
    return text


def _currency(text: str) -> str:
    if not _CURRENCY.fullmatch(text):
        raise PydanticCustomError("currency", "Must be three letters in upper case, as in ISO 4217")
    return text


def _scalar(value: object) -> str | int | bool | None:
    """A value without parts. Text must survive UTF-8, which a lone surrogate does not."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= _SAFE_INTEGER:
        return value
    if isinstance(value, str) and len(value) <= 500 and not re.search(r"[\x00\ud800-\udfff]", value):
        return value
    raise PydanticCustomError("scalar", "Must be null, a boolean, an integer, or a text of at most 500 characters")


Amount = Annotated[Decimal, BeforeValidator(_amount, json_schema_input_type=str | int | float)]
UuidText = Annotated[str, AfterValidator(_uuid)]
Currency = Annotated[str, AfterValidator(_currency)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_plain)]
Line = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_plain)]
Token = Annotated[str, Field(min_length=8, max_length=256, repr=False), AfterValidator(_token)]
Scalar = Annotated[Any, PlainValidator(_scalar, json_schema_input_type=str | int | bool | None)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class CustomerDetails(_Input):
    first_name: Name
    last_name: Name
    address: Line


class PaymentDetails(_Input):
    payment_method: Literal["CREDIT_CARD"]
    cc_token: Token


class TransactionItem(_Input):
    name: Name
    amount: Amount
    quantity: Annotated[int, Field(ge=1, le=10_000)]


class TransactionDetails(_Input):
    payment_orchestrator_id: Name
    merchant_id: Name
    transaction_items: Annotated[list[TransactionItem], Field(min_length=1, max_length=100)]
    currency: Currency | None = None


class NewTransaction(_Input):
    customer_details: CustomerDetails
    payment_details: PaymentDetails
    transaction: TransactionDetails
    business_unit_id: UuidText | None = None
    metadata: Annotated[dict[Name, Scalar], Field(max_length=50)] = Field(default_factory=dict)
    capture: bool | None = None

    def total(self) -> Decimal:
        """Exact: the largest one permitted has 16 digits, Decimal keeps 28, and its cents fit 64 bits."""
        items = self.transaction.transaction_items
        return sum((item.amount * item.quantity for item in items), Decimal(0))


class NewRefund(_Input):
    """`amount` left out is all that is left to refund."""

    requested_by: Name
    approved_by: Name
    amount: Amount | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a caller sees and writes: one tenant, and of it these units, or all of it for None."""

    tenant_id: str
    business_unit_ids: frozenset[str] | None

    def covers(self, tenant_id: str, business_unit_id: str | None) -> bool:
        units = self.business_unit_ids
        return tenant_id == self.tenant_id and (units is None or business_unit_id in units)


@dataclass(frozen=True, slots=True)
class Transaction:
    """As kept. Of the card token only the last four characters are left; `details` never changes."""

    id: str
    tenant_id: str
    business_unit_id: str | None
    state: State
    total_cents: int
    created_at: str
    completed_at: str | None
    customer: dict[str, str]
    details: dict[str, Any]

    @classmethod
    def of(cls, new: NewTransaction, tenant_id: str, *, id_: str, state: State, now: str) -> Transaction:
        items = [
            {"name": item.name, "amount": str(item.amount), "quantity": item.quantity}
            for item in new.transaction.transaction_items
        ]
        details = {
            "payment_details": {
                "payment_method": new.payment_details.payment_method,
                "cc_token_last4": new.payment_details.cc_token[-4:],
            },
            "transaction": {
                "payment_orchestrator_id": new.transaction.payment_orchestrator_id,
                "merchant_id": new.transaction.merchant_id,
                "transaction_items": items,
                "currency": new.transaction.currency,
            },
            "metadata": new.metadata,
            "capture": state == "completed",
        }
        return cls(
            id=id_,
            tenant_id=tenant_id,
            business_unit_id=new.business_unit_id,
            state=state,
            total_cents=int(new.total() * 100),
            created_at=now,
            completed_at=now if state == "completed" else None,
            customer=new.customer_details.model_dump(),
            details=details,
        )

    def shown(self, *, customer_in_clear: bool) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": self.state,
            "business_unit_id": self.business_unit_id,
            "customer_details": self.customer if customer_in_clear else _masked(self.customer),
            **self.details,
            "total": _money(self.total_cents),
            "created_at": self.created_at,
            "completed_at": self.completed_at,
        }


@dataclass(frozen=True, slots=True)
class Refund:
    """Of a completed transaction, all of it or a part."""

    id: str
    transaction_id: str
    cents: int
    requested_by: str
    approved_by: str
    created_at: str

    def shown(self) -> dict[str, str]:
        return {
            "id": self.id,
            "transaction_id": self.transaction_id,
            "amount": _money(self.cents),
            "requested_by": self.requested_by,
            "approved_by": self.approved_by,
            "created_at": self.created_at,
        }


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _masked(customer: dict[str, str]) -> dict[str, str]:
    return {
        "first_name": _initial(customer["first_name"]),
        "last_name": _initial(customer["last_name"]),
        "address": "***",
    }


def _initial(name: str) -> str:
    """`J***`; of a name of one letter, nothing."""
    return f"{name[0]}***" if len(name) > 1 else "***"
