"""What an explanation is asked with, and what it answers: immutable values that API and command line share."""

from __future__ import annotations

from typing import Literal

import msgspec

from hatchpay.access.explain import Step

__all__ = ["AuthenticationMethod", "Circumstances", "ExplanationView", "GrantingRole", "Question"]

AuthenticationMethod = Literal["api_key", "token"]


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds the request; None where nothing is said.

    `time_us` is in microseconds since the epoch, now by default; `token_age_s` in seconds. `roles` (their names) and
    `issuer_id` are those of a user's token, by default those of the user's most recent recorded request.
    """

    client_ip: str | None = None
    time_us: int | None = None
    authentication_method: AuthenticationMethod | None = None
    token_age_s: int | None = None
    roles: tuple[str, ...] | None = None
    issuer_id: str | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`principal` is a key's id, or a user's, with `user:` before it or without; `path` may have a query.

    `body` is JSON text, None where the request has none.
    """

    principal: str
    method: str
    path: str
    body: bytes | None = None
    context: Circumstances = Circumstances()

    def __repr__(self) -> str:
        return "Question()"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


class GrantingRole(msgspec.Struct, frozen=True):
    """`more_permissions` counts what it would give besides the missing one."""

    id: str
    name: str
    more_permissions: int


class ExplanationView(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate would decide, and why. `reason` is the code that it would record.

    `rule` is what decided, such as `role:viewer`; `missing` the one permission to ask for, and `roles_that_grant` the
    tenant's roles that hold it, smallest first. `trace` has the checks in their order.
    """

    decision: Literal["allow", "deny"]
    reason: str
    rule: str | None
    missing: str | None
    roles_that_grant: tuple[GrantingRole, ...]
    trace: tuple[Step, ...]
