"""The directory compiled for the hot path: every key with all that a request needs, in memory.

Readers take `current` without a lock; whoever changes something, or hears that another process did, calls
`refresh`, which reloads only what the feed names and publishes a new snapshot.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, select

from hatchpay.access.directory import KeyRow, RoleRow
from hatchpay.access.grants import Grants, grants_of_roles, principal_of
from hatchpay.access.permission import Permission
from hatchpay.access.rules import NO_RULES, Rules
from hatchpay.errors import SettingsError
from hatchpay.identity.buckets import buckets_of_key
from hatchpay.identity.ports import KeyEntry, KeyState, SecretEntry, Snapshot, Trust
from hatchpay.identity.principal import Bucket
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.directory_view import SqlView
from hatchpay.store.rules import ROLES_OF, RULE_KINDS, compile_rules
from hatchpay.store.schema import feed
from hatchpay.store.trust import KINDS, compile_trust, limits_of
from hatchpay.tokens.apikey import encode_id
from hatchpay.tokens.digest import Peppers

__all__ = ["DirectorySnapshots"]

_log: Final = logging.getLogger("hatchpay.directory")
_Held = tuple[frozenset[str], frozenset[tuple[str, frozenset[str]]]]
"""A key's roles by id, and those of them that are attached for chosen business units, with these."""


class DirectorySnapshots:
    """`current`, `rules` and `catalogue` are replaced as wholes, never changed.

    Making it loads everything, and raises DirectoryUnavailable where that fails. `with_body` are the permissions of
    which some route declares body fields.
    """

    current: Snapshot
    rules: Rules
    catalogue: tuple[Permission, ...]

    def __init__(
        self, directory: SqlDirectory, peppers: Callable[[], Peppers], with_body: frozenset[str] = frozenset()
    ) -> None:
        self._directory = directory
        self._peppers = peppers
        self._with_body = with_body
        self._refreshing = threading.Lock()
        self._roles: dict[str, RoleRow] = {}
        self._peppers_due = False
        self._replaced = directory.replaced
        with directory.connection() as connection:
            self._load(connection, directory.position(connection))

    def refresh(self) -> bool:
        """Take over what has changed; returns whether anything had.

        Raises DirectoryUnavailable; then `current` stays.
        """
        with self._refreshing:
            position = self._directory.position()
            same_file = self._directory.replaced == self._replaced
            if position == self.current.generation and same_file and not self._peppers_due:
                return False
            self._take_over()
            return True

    def _take_over(self) -> None:
        with self._directory.connection() as connection:
            position = self._directory.position(connection)
            query = select(feed.c.kind, feed.c.subject_id, feed.c.tenant_id).where(feed.c.seq > self.current.generation)
            changed: dict[str, set[str]] = {}
            for kind, subject, tenant_id in connection.execute(query):
                changed.setdefault(kind, set()).add(tenant_id if kind in RULE_KINDS else subject)
                if kind == "role":
                    changed.setdefault(ROLES_OF, set()).add(tenant_id)
            replaced = self._directory.replaced
            if "permission" in changed or position < self.current.generation or replaced != self._replaced:
                # What the built-in roles hold has changed, and with it nearly every key; or the whole file.
                self._load(connection, position)
                self._replaced = replaced
            else:
                self._update(connection, position, changed)

    def _load(self, connection: Connection, position: int) -> None:
        view = SqlView(connection)
        peppers = self._peppers()
        self._roles = {role.id: role for role in view.load_roles(None)}
        keys = dict(self._compile(view.load_keys(None)))
        self.catalogue = view.catalogue()
        self.rules = compile_rules(view, NO_RULES, roles=self._roles, with_body=self._with_body)
        self.current = Snapshot(position, keys, peppers, compile_trust(view, self._roles, Trust()))

    def _update(self, connection: Connection, position: int, changed: Mapping[str, set[str]]) -> None:
        view = SqlView(connection)
        peppers = self.current.peppers
        if "pepper" in changed or not view.pepper_versions(changed.get("key", set())) <= peppers.keys.keys():
            # The second: somebody rotated the pepper, hashed a key under it, and was killed before saying so.
            self._peppers_due = True
        if self._peppers_due:
            peppers = self._reloaded(peppers)
        role_ids = changed.get("role", set())
        roles = {role_id: role for role_id, role in self._roles.items() if role_id not in role_ids}
        roles |= {role.id: role for role in view.load_roles(role_ids)}
        self._roles = roles
        key_ids = changed.get("key", set()) | view.ids_of_keys_holding(role_ids)
        keys = self.current.keys
        if key_ids:
            keys = {**keys, **dict(self._compile(view.load_keys(key_ids)))}
        trust = self.current.trust
        if not KINDS.isdisjoint(changed):
            trust = compile_trust(view, roles, trust, changed)
        # Before the keys: a right that comes together with a rule must not be in force without it.
        self.rules = compile_rules(view, self.rules, changed, roles=roles, with_body=self._with_body)
        self.current = Snapshot(position, keys, peppers, trust)

    def _reloaded(self, peppers: Peppers) -> Peppers:
        """The peppers as they are now, or the old ones where those cannot be read: keys under one that is not known
        do not verify, while changes that take something away must not wait for it. The next refresh tries again.
        """
        try:
            peppers = self._peppers()
        except SettingsError as error:
            _log.error("the peppers cannot be read: %s", error.detail)
        else:
            self._peppers_due = False
        return peppers

    def _compile(self, rows: Iterable[KeyRow]) -> Iterable[tuple[str, KeyEntry]]:
        # Most keys hold one of few sets of roles: they share its grants.
        known: dict[_Held, Grants] = {}
        for row in rows:
            held = (row.role_ids, frozenset(row.role_units.items()))
            grants = known.get(held)
            if grants is None:
                roles = [self._roles[role_id] for role_id in row.role_ids]
                grants = known[held] = grants_of_roles(roles, row.role_units)
            yield encode_id(row.id), _entry(row, grants, self._buckets(row))

    def _buckets(self, key: KeyRow) -> tuple[Bucket, ...]:
        roles = sorted((self._roles[role_id] for role_id in key.role_ids), key=lambda role: role.name)
        limited = [limits_of(role) for role in roles if role.rate_limits]
        return buckets_of_key(key.tenant_id, key.id, key.rate_limits, limited) if limited or key.rate_limits else ()


def _entry(key: KeyRow, grants: Grants, buckets: tuple[Bucket, ...]) -> KeyEntry:
    principal = principal_of(key, grants, buckets)
    state: KeyState = "deleted" if key.deleted_us is not None else "enabled" if key.enabled else "disabled"
    secrets = tuple(SecretEntry(row.version, row.digest, row.pepper_version, row.ends_us) for row in key.secrets)
    return KeyEntry(principal, state, secrets, key.enabled_from_us)
