"""What the command line works with: the same use cases, by access to the data directory, recorded like a request."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from time import perf_counter_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from hatchpay.access.cedar_schema import NO_FIELDS, body_fields
from hatchpay.admin.advice import Advice
from hatchpay.admin.keys import Keys
from hatchpay.admin.local import local_actor
from hatchpay.admin.peppers import PepperAdmin
from hatchpay.admin.permissions import Permissions
from hatchpay.admin.policies import Policies
from hatchpay.admin.roles import Roles
from hatchpay.admin.signing_keys import SigningKeys
from hatchpay.admin.tenants import Tenants
from hatchpay.admin.token_views import IssuedToken, TokenWish
from hatchpay.admin.views import Actor
from hatchpay.app.files import read_catalogue
from hatchpay.app.local_tokens import LocalTokens
from hatchpay.app.own_tokens import explained
from hatchpay.app.paths import DataDirectory
from hatchpay.audit.record import Completion, Intent, Record
from hatchpay.cli.ports import PepperVersion, TokenInspection
from hatchpay.clock import wall_us
from hatchpay.errors import (
    AuditUnavailable,
    Conflict,
    DirectoryUnavailable,
    HatchPayError,
    InvalidInput,
    SettingsError,
)
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.instance import InstanceLock
from hatchpay.store.ledger import Ledger, LedgerReader
from hatchpay.store.replay import LedgerReplay

if TYPE_CHECKING:
    from hatchpay.admin.explain_views import ExplanationView, Question
    from hatchpay.admin.export_access import ExportAccess
    from hatchpay.admin.rehearse import Rehearsals
    from hatchpay.admin.streams import Streams
    from hatchpay.app.local_trail import LocalTrail
    from hatchpay.audit.export.run import Exporter
    from hatchpay.store.exports import ExportRegister

__all__ = ["Local", "import_changes", "open_local"]

Answer = TypeVar("Answer")
_METHOD: Final = "LOCAL"
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_PATIENCE_S: Final = 15.0
"""How long a command waits for its turn: a person would rather wait than read that somebody else was writing."""


class Local:
    """Beside a running server it is safe: databases serialise the two, and the server hears of every change.

    Reading goes to the use cases directly; whatever writes goes through `act`.
    """

    def __init__(self, settings: Settings, *, create: bool) -> None:
        """Raises SettingsError where there are no data and `create` is False; DirectoryUnavailable."""
        root = settings.data_dir
        if not (create or root.is_dir()):
            raise _no_data(settings)
        paths = DataDirectory(root)
        if not paths.directory.exists():
            if not create:
                raise _no_data(settings)
            paths.prepare()
        self._paths = paths
        self._instances = paths.instances
        self._ledger_path = paths.ledger
        self._routes = settings.routes
        self._recording: tuple[InstanceLock, Ledger] | None = None
        self._from_variable = settings.pepper is not None
        self._directory = SqlDirectory(paths.directory, busy_timeout_s=_PATIENCE_S)
        self._secrets = paths.secret_files(settings, self._directory)
        self._settings = settings
        self._paths = paths
        self._vault = paths.vault_to_read(self._secrets)
        self.history = LedgerReader(paths.ledger, self._vault)
        self.keys = Keys(self._directory, self.history, wall_us, new_id, self._secrets.peppers)
        self.roles = Roles(self._directory, wall_us, new_id)
        self.permissions = Permissions(self._directory)
        self.advice = Advice(self._directory, LedgerReplay(paths.ledger, self._vault), self.history, wall_us, new_id)
        self.tenants = Tenants(self._directory, wall_us, new_id, self._secrets.peppers)
        self.signing_keys = SigningKeys(self._directory, wall_us, new_id, explained(self._secrets.kek))
        self._pepper_admin = PepperAdmin(self._directory, wall_us, new_id, self._secrets.peppers)
        self._tokens = LocalTokens(settings, self._directory, self._secrets, self.keys.rehash)

    @cached_property
    def exporter(self) -> Exporter:
        from hatchpay.app.exporting import exporter_over
        from hatchpay.app.sealing import feed_of

        return exporter_over(self._paths, feed_of(self._paths, self._vault), self._exports)

    @cached_property
    def export_access(self) -> ExportAccess:
        from hatchpay.admin.export_access import ExportAccess

        return ExportAccess(self._directory, self._exports, wall_us)

    @cached_property
    def _exports(self) -> ExportRegister:
        from hatchpay.app.exporting import export_register
        from hatchpay.app.sealing import feed_of

        return export_register(self._paths, feed_of(self._paths, self._vault))

    @cached_property
    def rehearsals(self) -> Rehearsals:
        # This, and explain, need what a server needs; no other command is to wait for that.
        from hatchpay.app.rehearsing import local_rehearsals

        replay = LedgerReplay(self._ledger_path, self._vault)
        return local_rehearsals(self._directory, replay, self._routes, self.policies)

    @cached_property
    def streams(self) -> Streams:
        # Its way to other servers, which no other command needs.
        from hatchpay.app.streams import streams_over

        return streams_over(self._settings, self._paths, self._directory, self._secrets)

    def close(self) -> None:
        if self._recording is not None:
            lock, ledger = self._recording
            ledger.close()
            lock.release()
        self._directory.close()
        self._vault.close()

    @cached_property
    def trail(self) -> LocalTrail:
        from hatchpay.app.local_trail import LocalTrail

        return LocalTrail(self._settings, self._paths, self._vault)

    def rotate_log_key(self) -> list[tuple[str, str]]:
        return self.act(
            "audit rotate-key", PLATFORM_TENANT_ID, lambda actor: self.trail.rotate_key(actor, self._ledger().write)
        )

    @cached_property
    def policies(self) -> Policies:
        """Knows the fields of bodies where the settings say which route table is served. Raises SettingsError."""
        fields = NO_FIELDS if self._routes is None else body_fields(read_catalogue(self._routes).routes.routes)
        return Policies(self._directory, wall_us, new_id, fields)

    def reader(self, tenant_id: str) -> Actor:
        """Somebody who may read everything of a tenant; for use cases that change nothing."""
        return self._actor(tenant_id, new_id())

    def act(
        self,
        command: str,
        tenant_id: str,
        use: Callable[[Actor], Answer],
        known: Mapping[str, object] = _NOTHING,
    ) -> Answer:
        """Run `use` as `local:<uid>` between a durable intent and a durable completion.

        `command` is the command without its arguments, such as `keys create`; `known` holds further fields of the
        record. Raises what `use` raises, and AuditUnavailable: `audit_unavailable` before anything was done,
        `outcome_unrecorded` after.
        """
        actor = self._actor(tenant_id, new_id())
        ledger = self._ledger()
        began = perf_counter_ns()
        record = Record(
            request_id=actor.request_id,
            tenant_id=tenant_id,
            method=_METHOD,
            url=f"hatchpay {command}",
            started_us=wall_us(),
            principal_id=actor.principal.id,
            roles=actor.principal.roles,
            decision="allow",
            reason="local_access",
            rule="data_directory",
            route=f"hatchpay {command}",
        )
        record = msgspec.structs.replace(record, **known)
        ledger.write([Intent(record)])
        try:
            answer = use(actor)
        except HatchPayError as error:
            self._complete(record, began, state="refused", decision="deny", reason=error.code, status=error.status)
            raise
        except BaseException:
            self._complete(record, began, state="failed", status=500)
            raise
        try:
            self._complete(record, began, state="completed", status=200)
        except AuditUnavailable as error:
            raise AuditUnavailable(
                f"hatchpay {command} was done, but its outcome could not be recorded: {error.detail}",
                code="outcome_unrecorded",
            ) from error
        return answer

    def peppers(self) -> list[PepperVersion]:
        """The newest first."""
        peppers = self._secrets.peppers()
        in_use = self._pepper_admin.in_use()
        versions = sorted(peppers.keys, reverse=True)
        return [PepperVersion(version, version == peppers.current, in_use.get(version, 0)) for version in versions]

    def rotate_pepper(self) -> int:
        def rotate(actor: Actor) -> int:
            # The file first: whoever hears of the change must find it there.
            version = self._secrets.rotate().current
            self._pepper_admin.announce(actor)
            return version

        return self.act("pepper rotate", PLATFORM_TENANT_ID, rotate)

    def retire_pepper(self, version: int) -> tuple[str, ...]:
        """Raises InvalidInput for an unknown version, Conflict for the current one and for a last administrator."""

        def retire(actor: Actor) -> tuple[str, ...]:
            if self._from_variable:
                raise Conflict(
                    "the pepper comes from HATCHPAY_PEPPER; remove the version there",
                    code="pepper_from_variable",
                )
            if version not in self._secrets.peppers().keys:
                raise InvalidInput("there is no pepper of this version", field="version")
            # The directory first: cut off here, the command can be given again. The other way round, keys would
            # stand there as enabled that cannot work any more, and nobody could be asked whether they may go.
            disabled = self._pepper_admin.retire(actor, version)
            self._secrets.retire(version)
            self._pepper_admin.announce(actor)
            return disabled

        return self.act("pepper retire", PLATFORM_TENANT_ID, retire)

    def issue_token(self, key: str, tenant_id: str | None, wish: TokenWish) -> IssuedToken:
        """A token for the key with this text, or with this id in the tenant. Raises as cli.ports.Local says."""
        found = self._tokens.find(key, tenant_id)

        def issue(actor: Actor) -> IssuedToken:
            return self._tokens.issue(found, wish, actor.request_id)

        return self.act("token issue", found.tenant_id, issue, found.known)

    def inspect_token(self, text: str) -> TokenInspection:
        return self._tokens.inspect(text)

    def explain(self, tenant_id: str, question: Question, routes: Path | None) -> ExplanationView:
        from hatchpay.app.local_explain import explain_locally

        return explain_locally(self._directory, self.history, self.reader(tenant_id), question, routes or self._routes)

    def _actor(self, tenant_id: str, request_id: str) -> Actor:
        with self._directory.read() as view:
            catalogue = view.catalogue()
        return local_actor(os.getuid(), tenant_id, request_id, catalogue)

    def _ledger(self) -> Ledger:
        """Under a lock of its own: a command that is killed is found out like a server that was."""
        if self._recording is None:
            instance = new_id()
            vault = self._paths.vault(self._secrets)
            lock = InstanceLock(self._instances, instance)
            self._recording = (lock, Ledger(self._ledger_path, instance, vault, busy_timeout_s=_PATIENCE_S))
        return self._recording[1]

    def _complete(self, record: Record, began: int, **changes: object) -> None:
        took = (perf_counter_ns() - began) // 1000
        whole = msgspec.structs.replace(record, response_time_us=took, handler_us=took, **changes)
        ledger = self._ledger()
        ledger.write([Completion(whole)])
        # What cannot be brought over now stays in the outbox, for the next command or a server.
        with contextlib.suppress(AuditUnavailable, DirectoryUnavailable):
            import_changes(self._directory, ledger)


def import_changes(directory: SqlDirectory, ledger: Ledger) -> int:
    """Bring what is in the outbox into the ledger; returns how many. Two that do it at once do no harm."""
    count = 0
    while changes := directory.outbox():
        ledger.write(changes)
        directory.outbox_done([change.id for change in changes])
        count += len(changes)
    return count


@contextlib.contextmanager
def open_local(settings: Settings, *, create: bool = True) -> Iterator[Local]:
    local = Local(settings, create=create)
    try:
        yield local
    finally:
        local.close()


def _no_data(settings: Settings) -> SettingsError:
    return SettingsError(
        f"there are no HatchPay data in {settings.data_dir}; hatchpay tenants onboard NAME begins there",
        code="no_data",
    )
