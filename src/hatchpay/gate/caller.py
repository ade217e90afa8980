"""What the protected application learns about a request, as `scope["hatchpay"]`."""

from __future__ import annotations

import msgspec

from hatchpay.identity.principal import Principal

__all__ = ["Caller"]


class Caller(msgspec.Struct, frozen=True, gc=False):
    """`principal` is None only on open routes that were called without a credential."""

    request_id: str
    principal: Principal | None

    def may(self, permission: str) -> bool:
        return self.principal is not None and self.principal.may(permission)
