"""The conditions on recorded requests that several commands take, as options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec, cast, get_type_hints

import msgspec
import typer

from hatchpay.cli import options
from hatchpay.cli.ports import Local
from hatchpay.cli.session import Session
from hatchpay.ids import PLATFORM_TENANT_ID

if TYPE_CHECKING:
    from hatchpay.audit.ports import HistoryFilter

__all__ = ["Conditions", "Operator", "all_of", "with_conditions"]

Parameters = ParamSpec("Parameters")

Operator = Annotated[bool, typer.Option("--operator", help="The operator's log in place of a tenant's.")]


def _conditions(
    from_: Annotated[
        int | None, typer.Option("--from", metavar="TIME", parser=options.moment, help="That time or later.")
    ] = None,
    to: Annotated[
        int | None, typer.Option("--to", metavar="TIME", parser=options.moment, help="Before that time.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="METHOD", parser=options.method, help="LOCAL for commands.")
    ] = None,
    path: Annotated[str | None, typer.Option("--path", metavar="PATH", help="Exact, without query.")] = None,
    route: Annotated[str | None, typer.Option("--route", metavar="TEMPLATE", help="Such as /roles/{id}.")] = None,
    status: Annotated[
        Any, typer.Option("--status", metavar="STATUS", parser=options.status, help="Such as 403 or 4xx.")
    ] = None,
    principal_id: Annotated[
        str | None, typer.Option("--principal-id", metavar="ID", help="A key's id, or local:<uid>.")
    ] = None,
    key_id: Annotated[str | None, typer.Option("--key-id", metavar="ID")] = None,
    business_unit_id: Annotated[str | None, typer.Option("--business-unit-id", metavar="ID")] = None,
    request_id: Annotated[str | None, typer.Option("--request-id", metavar="ID")] = None,
    client_ip: Annotated[str | None, typer.Option("--client-ip", metavar="ADDRESS", parser=options.address)] = None,
    min_ms: Annotated[
        int | None,
        typer.Option("--min-ms", metavar="MS", parser=options.microseconds, help="Took at least so long."),
    ] = None,
) -> dict[str, object]:
    """By the names of HistoryFilter's fields."""
    return {
        "from_us": from_,
        "to_us": to,
        "method": method,
        "path": path,
        "route": route,
        "status": status,
        "principal_id": principal_id,
        "key_id": key_id,
        "business_unit_id": business_unit_id,
        "request_id": request_id,
        "client_ip": client_ip,
        "min_us": min_ms,
    }


_PARAMETERS: Final = tuple(inspect.signature(_conditions).parameters.values())


class Conditions:
    """What these options say."""

    def __init__(self, given: dict[str, object]) -> None:
        self._given = given

    def on(self, everything: HistoryFilter) -> HistoryFilter:
        """`everything`, as far as it meets the conditions."""
        return msgspec.structs.replace(everything, **self._given)


def with_conditions(
    function: Callable[Concatenate[Session, Conditions, Parameters], None],
) -> Callable[Concatenate[Session, ...], None]:
    """For a command: puts the options of the conditions before its own, and hands them over as one value."""

    def run(session: Session, **given: Any) -> None:
        conditions = Conditions(_conditions(**{one.name: given.pop(one.name) for one in _PARAMETERS}))
        cast(Callable[..., None], function)(session, conditions, **given)

    hints = get_type_hints(_conditions, include_extras=True) | get_type_hints(function, include_extras=True)
    session, _, *own = inspect.signature(function).parameters.values()
    parameters = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*_PARAMETERS, *own)
    ]
    run.__doc__ = function.__doc__
    run.__signature__ = inspect.Signature([session, *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def all_of(session: Session, local: Local, tenant: str | None, operator: bool) -> HistoryFilter:
    """Everything in the log that is meant."""
    # Its module waits on futures for the recorder's sake; asyncio is too slow an import for a help text.
    from hatchpay.audit.ports import HistoryFilter

    if operator and tenant is not None:
        raise typer.BadParameter("give --tenant or --operator, not both.", param_hint="--operator")
    return HistoryFilter(tenant_id=PLATFORM_TENANT_ID if operator else session.tenant_id(local, tenant))
