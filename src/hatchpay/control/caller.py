"""Who is calling, as the gate in front has put it into the scope. Nothing here is believed by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, Request

from hatchpay.admin.views import Actor
from hatchpay.errors import Unavailable
from hatchpay.identity.authenticator import Authenticated, Invalid
from hatchpay.identity.principal import Principal

__all__ = ["HEAD_KEY", "SCOPE_KEY", "Caller", "CurrentActor", "actor", "caller_of"]

SCOPE_KEY: Final = "hatchpay"
HEAD_KEY: Final = "hatchpay.head"
"""In the scope of a GET of whose answer only the head will leave."""


class Caller(Protocol):
    """`principal` is None only on open routes that were called without a credential, and on those whose handler
    authenticates. `refused` and `identified` tell the record what such a handler has found.
    """

    @property
    def request_id(self) -> str: ...

    @property
    def principal(self) -> Principal | None: ...

    @property
    def client_ip(self) -> str | None: ...

    @property
    def refused(self) -> Callable[[str, bool], None]: ...

    @property
    def identified(self) -> Callable[[Authenticated | Invalid], None]: ...


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Raises Unavailable where no gate has looked at the request: then nobody is served."""
    caller: Caller | None = scope.get(SCOPE_KEY)
    request_id = getattr(caller, "request_id", None)
    if caller is None or not isinstance(request_id, str) or not request_id or not hasattr(caller, "principal"):
        raise Unavailable("the control API only serves requests that have passed HatchPay's gate", code="gate_missing")
    return caller


def actor(request: Request) -> Actor:
    """Raises Unavailable where the gate has let somebody through whom it cannot name."""
    caller = caller_of(request.scope)
    if not isinstance(caller.principal, Principal):
        raise Unavailable("this call needs a proven caller, and the gate names none", code="gate_missing")
    return Actor(caller.principal, caller.request_id, caller.client_ip)


CurrentActor = Annotated[Actor, Depends(actor)]
