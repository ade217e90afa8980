"""What a key may do with tokens that are not its own: by its roles, its business units and the tenant's policies.

The gate does not ask for these permissions, since the endpoints authenticate their callers themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hatchpay.access.decision import Decision
from hatchpay.access.engine import conclude
from hatchpay.access.routes import Match, Route, UnitSource
from hatchpay.access.rules import Rules
from hatchpay.admin.tokens import READ, REVOKE
from hatchpay.admin.work import within_units
from hatchpay.clock import Clock
from hatchpay.identity.own_token import OwnClaims
from hatchpay.identity.ports import Snapshot
from hatchpay.identity.principal import Principal
from hatchpay.tokens.apikey import encode_id

__all__ = ["OthersTokens"]


def _match(template: str, permission: str) -> Match:
    route = Route(method="POST", template=template, permission=permission, unit=(UnitSource("handler"),), control=True)
    return Match(route, ())


_READ: Final = _match("/v1/auth/introspect", READ)
_REVOKE: Final = _match("/v1/auth/revoke", REVOKE)


class OthersTokens:
    """`snapshot` and `rules` give what is in force."""

    def __init__(self, snapshot: Callable[[], Snapshot], rules: Callable[[], Rules], clock: Clock) -> None:
        self._snapshot = snapshot
        self._rules = rules
        self._clock = clock

    def may_read(self, client: Principal, subject: Principal, client_ip: str | None) -> bool:
        """Whether `client` may know what the token of `subject` is good for."""
        if subject.tenant_id != client.tenant_id:
            return False
        if subject.key_id == client.key_id:
            return True
        limits, owner = client.limits, self._owner(subject)
        if READ not in client.grants:
            limits = limits.within(frozenset(client.scoped.get(READ, ())))
        if owner is None or limits.business_unit_ids == frozenset():
            return False
        if not within_units(limits, owner.limits.business_unit_ids):
            return False
        return self._denial(client, _READ, client_ip) is None

    def refuses_to_end(self, client: Principal, claims: OwnClaims, client_ip: str | None) -> str | None:
        """Why the policies do not let `client` revoke this token, as the record says it; None where they do.

        Whether it holds the permission is for the transaction to say.
        """
        if claims.tenant != client.tenant_id or claims.client_id == client.key_id:
            return None
        denial = self._denial(client, _REVOKE, client_ip)
        if denial is None:
            return None
        return denial.reason if REVOKE in client.held else "permission_missing"

    def _owner(self, subject: Principal) -> Principal | None:
        """The key behind a token, whatever units the token itself is narrowed to; the user of another issuer's."""
        if subject.key_id is None:
            return subject
        entry = self._snapshot().keys.get(encode_id(subject.key_id))
        return None if entry is None else entry.principal

    def _denial(self, client: Principal, match: Match, client_ip: str | None) -> Decision | None:
        return conclude(self._rules(), client, match, None, now_us=self._clock(), client_ip=client_ip, body={})
