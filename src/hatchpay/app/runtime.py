"""Everything that a process which guards an API keeps running: directory, snapshot, recorder, gate."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from time import monotonic
from typing import Final

from hatchpay.access.catalogue import Catalogue
from hatchpay.access.cedar_schema import body_fields
from hatchpay.access.routes import RouteTable, merge
from hatchpay.admin.issuer_keys import IssuerKeyRefresh
from hatchpay.admin.keys import Keys
from hatchpay.app.issuer_keeper import IssuerKeeper
from hatchpay.app.keeper_process import KeeperProcess
from hatchpay.app.paths import DataDirectory
from hatchpay.app.stream_watch import StreamWatch
from hatchpay.app.streams import stream_healths
from hatchpay.clock import wall_us
from hatchpay.errors import AuditUnavailable, DirectoryUnavailable, HatchPayError
from hatchpay.gate.addresses import Proxies
from hatchpay.gate.admission import Admission
from hatchpay.gate.allowance import Meter
from hatchpay.gate.exchange import Application, Parts
from hatchpay.gate.metrics import Metrics
from hatchpay.gate.middleware import Gate
from hatchpay.identity.authenticator import ApiKeyAuthenticator
from hatchpay.identity.ports import Trust
from hatchpay.identity.tokens import TokenAuthenticator
from hatchpay.ids import new_id
from hatchpay.settings import Settings
from hatchpay.store.counters import FileCounters
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.guarded_http import GuardedHttp
from hatchpay.store.issuer_documents import IssuerDocuments
from hatchpay.store.ledger import LedgerReader
from hatchpay.store.recorder import ProcessRecorder
from hatchpay.store.replay import LedgerReplay
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.store.stream_source import DirectoryStreams
from hatchpay.store.witnesses import parse_witnesses

__all__ = ["Runtime"]

_log: Final = logging.getLogger("hatchpay")
_POLL_EVERY_S: Final = 0.05
_STALE_AFTER_S: Final = 5.0
_MOST_REHASHES: Final = 1_000


class Runtime:
    """Between `start` and `stop` its gate lets requests through; before and after, none."""

    def __init__(self, settings: Settings, catalogue: Catalogue, control_routes: RouteTable | None = None) -> None:
        self.paths = DataDirectory(settings.data_dir)
        self.paths.prepare()
        self.directory = SqlDirectory(self.paths.directory)
        self.secrets = self.paths.secret_files(settings, self.directory)
        self.directory.sync_permissions(catalogue.permissions)
        self.body_fields = body_fields(catalogue.routes.routes)
        self.snapshots = DirectorySnapshots(self.directory, self.secrets.peppers, frozenset(self.body_fields))
        self.vault = self.paths.vault(self.secrets)
        self.vault.open()
        self.history = LedgerReader(self.paths.ledger, self.vault)
        self.replay = LedgerReplay(self.paths.ledger, self.vault)
        self._stream_watch = StreamWatch(
            DirectoryStreams(self.directory).streams,
            stream_healths(self.paths, self.vault),
            settings.stream_lag_alarm_s,
        )
        self.metrics = Metrics(self._gauges, self._stream_watch.metrics)
        self.recorder = ProcessRecorder(
            self.paths.ledger,
            self.paths.instances,
            new_id(),
            self.vault,
            patience_s=settings.audit_patience_ms / 1000,
            observe_wait=self.metrics.observe_commit,
        )
        self.keys = Keys(self.directory, self.history, wall_us, new_id, self.secrets.peppers)
        self.documents = IssuerDocuments(GuardedHttp(insecure=settings.allow_insecure_issuers))
        self._keeper = IssuerKeeper(
            IssuerKeyRefresh(self.directory, wall_us, self.documents.keys), self.trust, self.snapshots.refresh
        )
        self.key_authenticator = ApiKeyAuthenticator(lambda: self.snapshots.current, wall_us, self._note_rehash)
        self.token_authenticator = TokenAuthenticator(
            lambda: self.snapshots.current, wall_us, self._keeper.want, keep_s=settings.issuer_keys_keep_s
        )
        self._counters = FileCounters(self.paths.limits)
        self._meter = Meter(self._counters, allow_on_failure=settings.rate_limits_on_failure == "allow")
        self._routes = merge({"the application": catalogue.routes, "HatchPay": control_routes or RouteTable(())})
        self._proxies = Proxies(settings.proxy_networks)
        self._rehashes: asyncio.Queue[tuple[str, str, int]] = asyncio.Queue(_MOST_REHASHES)
        self._draining = asyncio.Lock()
        self._stopping = threading.Event()
        self._rehashing: asyncio.Task[None] | None = None
        self._poller: threading.Thread | None = None
        parse_witnesses(settings.witnesses)
        self._keeping = KeeperProcess(settings)
        self._watcher: threading.Thread | None = None
        self.running = False
        self._refreshed_at = monotonic()

    def gate(self, app: Application, control: Application | None = None, *, only_proxies: bool = False) -> Gate:
        admission = Admission(
            [self.key_authenticator, self.token_authenticator],
            self._routes,
            self._proxies,
            only_proxies=only_proxies,
            is_current=self._is_current,
            rules=lambda: self.snapshots.rules,
            clock=wall_us,
            meter=self._meter,
        )
        key = self.secrets.fingerprint_key()
        return Gate(app, Parts(admission, self.recorder, wall_us, new_id, key, self.metrics.observe), control)

    @property
    def routes(self) -> RouteTable:
        """The application's and HatchPay's own, by which the gate decides."""
        return self._routes

    def trust(self) -> Trust:
        return self.snapshots.current.trust

    async def start(self) -> None:
        """Raises AuditUnavailable, DirectoryUnavailable or SettingsError; then nothing is left running."""
        self._loop = asyncio.get_running_loop()
        await self.recorder.start()
        await self._drain()
        self._rehashing = asyncio.create_task(self._rehash())
        self._poller = threading.Thread(target=self._poll, name="hatchpay-directory", daemon=True)
        self._refreshed_at = monotonic()
        self._poller.start()
        self._keeper.start()
        self._keeping.start()
        self._watcher = threading.Thread(
            target=self._stream_watch.run, args=(self._stopping,), name="hatchpay-stream-watch", daemon=True
        )
        self._watcher.start()
        self.running = True

    async def stop(self) -> None:
        """Ends what runs, after what is queued for the record has been written."""
        if not self.running:
            return
        self.running = False
        self._stopping.set()
        await self._keeper.stop()
        await asyncio.to_thread(self._keeping.stop)
        if self._rehashing is not None:
            self._rehashing.cancel()
            await asyncio.gather(self._rehashing, return_exceptions=True)
        for thread in (self._poller, self._watcher):
            if thread is not None:
                await asyncio.to_thread(thread.join)
        await self.recorder.close()
        self._counters.close()
        self.directory.close()
        self.vault.close()

    async def changed(self) -> None:
        """After a change of the directory in this process: in force for the next request, and in the ledger."""
        await asyncio.to_thread(self.snapshots.refresh)
        await self._drain()

    def failing(self) -> list[str]:
        """What is not well, for the readiness check."""
        if not self.running:
            return ["starting"]
        checks = {"audit": self.recorder.healthy, "directory": self._is_current()}
        return [name for name, well in checks.items() if not well]

    def _is_current(self) -> bool:
        """Whether other processes' changes have been heard of lately. A revocation must not be outlived for long."""
        return monotonic() - self._refreshed_at < _STALE_AFTER_S

    def _poll(self) -> None:
        """Other processes' changes, within the 250 ms that are promised. A thread, so that loading a large change
        does not hold the event loop for longer than the interpreter's switch interval."""
        failing = False
        while not self._stopping.wait(_POLL_EVERY_S):
            try:
                changed = self.snapshots.refresh()
            except Exception as error:
                # Whatever it is, it must not end this thread: nobody would hear of revocations any more.
                if not failing:
                    _log.error("the directory cannot be read: %s", _named(error))
                failing = True
                continue
            self._refreshed_at = monotonic()
            failing = False
            if changed:
                asyncio.run_coroutine_threadsafe(self._drain(), self._loop)

    async def _drain(self) -> None:
        """Import the outbox into the ledger. What does not get there stays in the outbox, for the next time."""
        async with self._draining:
            try:
                while changes := await asyncio.to_thread(self.directory.outbox):
                    await asyncio.gather(*[self.recorder.submit(change) for change in changes])
                    await asyncio.to_thread(self.directory.outbox_done, [change.id for change in changes])
            except (AuditUnavailable, DirectoryUnavailable) as error:
                _log.error("changes of the directory wait for the ledger: %s", error.code)

    def _note_rehash(self, key_id: str, text: str, secret_version: int) -> None:
        if not self._rehashes.full():
            self._rehashes.put_nowait((key_id, text, secret_version))

    async def _rehash(self) -> None:
        while True:
            key_id, text, secret_version = await self._rehashes.get()
            try:
                await asyncio.to_thread(self.keys.rehash, key_id, text, secret_version)
                await asyncio.to_thread(self.snapshots.refresh)
            except Exception as error:
                _log.error("a key could not be hashed anew: %s", _named(error))

    def _gauges(self) -> Iterable[tuple[str, str, float]]:
        yield "hatchpay_audit_healthy", "1 while records can be stored", float(self.recorder.healthy)
        yield (
            "hatchpay_audit_pending_entries",
            "Entries that wait for their commit",
            float(self.recorder.pending),
        )
        yield (
            "hatchpay_audit_owed_records",
            "Refusals to be recorded once it is possible",
            float(self.recorder.owed),
        )
        yield (
            "hatchpay_audit_unrecorded_records",
            "Refusals that could never be recorded",
            float(self.recorder.unrecorded),
        )
        yield (
            "hatchpay_audit_writer_restarts",
            "How often the ledger's writer was replaced",
            float(self.recorder.restarts),
        )
        yield (
            "hatchpay_directory_generation",
            "Sequence number of the last change in force",
            float(self.snapshots.current.generation),
        )
        yield (
            "hatchpay_directory_keys",
            "API keys in the snapshot, deleted ones included",
            float(len(self.snapshots.current.keys)),
        )


def _named(error: Exception) -> str:
    """An error of ours by its code, any other by its type: its text may hold anything."""
    return error.code if isinstance(error, HatchPayError) else type(error).__name__
