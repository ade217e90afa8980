"""Roles as commands take them: by name or by id."""

from __future__ import annotations

from collections.abc import Iterable

from hatchpay.admin.views import Actor
from hatchpay.cli.paging import everything
from hatchpay.cli.ports import Local
from hatchpay.errors import NotFound

__all__ = ["role_ids"]


def role_ids(local: Local, actor: Actor, wanted: Iterable[str]) -> tuple[str, ...]:
    """Raises NotFound for what is neither the id nor the name of a role of the tenant."""
    known = everything(lambda limit, cursor: local.roles.list(actor, limit, cursor))
    by_text = {role.name: role.id for role in known} | {role.id: role.id for role in known}
    found = []
    for text in wanted:
        if text not in by_text:
            raise NotFound(f"there is no role {text!r} in this tenant; hatchpay roles list shows them")
        found.append(by_text[text])
    return tuple(found)
