"""What the protected application learns about a request, as `scope["hatchpay"]`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hatchpay.identity.authenticator import Authenticated, Invalid
from hatchpay.identity.principal import Principal

__all__ = ["Caller"]


class Caller(msgspec.Struct, frozen=True, gc=False):
    """`principal` is None only on open routes that were called without a credential.

    `refused(reason, denied)` tells the record, before the answer begins, that the handler turns the request away:
    `reason` is a stable code, `denied` whether the caller was not allowed, rather than asked for something wrong.
    `identified(outcome)` tells it whom a self-authenticating handler has found behind the credential that it checks.
    """

    request_id: str
    principal: Principal | None
    refused: Callable[[str, bool], None]
    client_ip: str | None
    identified: Callable[[Authenticated | Invalid], None]

    def may(self, permission: str) -> bool:
        return self.principal is not None and self.principal.may(permission)
