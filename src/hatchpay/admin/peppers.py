"""Peppers: which are still in use, and what becomes of keys when an old one goes.

The peppers themselves live outside the directory; here is only what the directory knows of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from hatchpay.access.directory import KeyRow
from hatchpay.admin import secrets
from hatchpay.admin.ports import Directory
from hatchpay.admin.present import key_facts
from hatchpay.admin.views import Actor
from hatchpay.admin.work import Changes, Work
from hatchpay.clock import Clock
from hatchpay.errors import Conflict, Forbidden
from hatchpay.ids import PLATFORM_TENANT_ID, IdSource
from hatchpay.tokens.digest import Peppers

__all__ = ["PepperAdmin"]


class PepperAdmin:
    """For somebody at the machine who acts for the platform. Changes raise Forbidden for anybody else."""

    def __init__(self, directory: Directory, clock: Clock, new_id: IdSource, peppers: Callable[[], Peppers]) -> None:
        self._directory = directory
        self._clock = clock
        self._changes = Changes(directory, clock, new_id)
        self._peppers = peppers

    def in_use(self) -> dict[int, int]:
        """How many secrets that still work are under each pepper version."""
        with self._directory.read() as view:
            return view.secrets_per_pepper(self._clock())

    def announce(self, actor: Actor) -> None:
        """After the peppers were changed: record it, and make every process read them again."""
        with self._changing(actor) as work:
            peppers = self._peppers()
            facts = {"current": peppers.current, "versions": sorted(peppers.keys)}
            work.record("platform.peppers.changed", PLATFORM_TENANT_ID, {}, facts)
            work.transaction.announce_peppers()

    def retire(self, actor: Actor, version: int) -> tuple[str, ...]:
        """Disable the keys whose newest secret is under this pepper, and end older secrets that are.

        Returns the ids of the disabled keys. Call it before the pepper itself is destroyed. Raises Conflict
        for the current pepper (`pepper_current`), and where a tenant would lose its last administrator.
        """
        with self._changing(actor) as work:
            if version == self._peppers().current:
                raise Conflict("this pepper is the current one; rotate first", code="pepper_current")
            keys = work.transaction.keys_under(version)
            disabled = tuple(key.id for key in keys if self._retire(work, key, version))
            work.record("platform.peppers.retired", PLATFORM_TENANT_ID, {}, {"version": version, "disabled": disabled})
            return disabled

    @contextmanager
    def _changing(self, actor: Actor) -> Iterator[Work]:
        with self._changes.by(actor, "platform.tenants.create") as work:
            if actor.principal.kind != "local":
                raise Forbidden("peppers are for somebody at the machine who acts for the platform", code="local_only")
            yield work

    def _retire(self, work: Work, key: KeyRow, version: int) -> bool:
        if key.secrets[0].pepper_version != version:
            work.transaction.save_key(secrets.ended_under(key, version, work.now))
            return False
        if not key.enabled:
            return False
        new = msgspec.structs.replace(key, enabled=False, updated_us=work.now)
        with work.keeping_an_administrator(key.tenant_id):
            work.transaction.save_key(new)
        facts = {**key_facts(new), "cause": "pepper_retired"}
        work.record("api-key.keys.disabled", key.id, key_facts(key), facts, tenant_id=key.tenant_id)
        return True
