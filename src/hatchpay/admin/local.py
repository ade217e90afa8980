"""Somebody at the machine itself, with access to the data directory."""

from __future__ import annotations

from collections.abc import Iterable

from hatchpay.access.permission import PLATFORM_PERMISSIONS, Permission
from hatchpay.admin.views import Actor
from hatchpay.identity.principal import Principal
from hatchpay.ids import PLATFORM_TENANT_ID

__all__ = ["local_actor"]


def local_actor(uid: int, tenant_id: str, request_id: str, catalogue: Iterable[Permission]) -> Actor:
    """The user `uid` as an administrator of the tenant: whoever can write the database could do all this
    anyway.

    In the platform's own tenant, the platform's permissions come with it.
    """
    permissions = [*catalogue, *(PLATFORM_PERMISSIONS if tenant_id == PLATFORM_TENANT_ID else ())]
    principal = Principal(
        id=f"local:{uid}",
        kind="local",
        tenant_id=tenant_id,
        key_id=None,
        roles=(),
        grants={permission.name: "local" for permission in permissions},
    )
    return Actor(principal, request_id)
