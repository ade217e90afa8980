"""`hatchpay serve`: control API, protected application and administration port in one process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn

from hatchpay.access.catalogue import EMPTY
from hatchpay.access.routes import RouteTable
from hatchpay.admin.advice import Advice
from hatchpay.admin.business_units import BusinessUnits
from hatchpay.admin.erasures import Erasures
from hatchpay.admin.explain import Explanations
from hatchpay.admin.export_access import ExportAccess
from hatchpay.admin.issuers import Issuers
from hatchpay.admin.others_tokens import OthersTokens
from hatchpay.admin.permissions import Permissions
from hatchpay.admin.policies import Policies
from hatchpay.admin.roles import Roles
from hatchpay.admin.signing_keys import Signer
from hatchpay.admin.tenants import Tenants
from hatchpay.admin.tokens import Tokens
from hatchpay.app import own_tokens
from hatchpay.app.exporting import delivered, export_register, exporter_over
from hatchpay.app.files import find_application, find_routes, read_catalogue
from hatchpay.app.rehearsing import rehearsals_over
from hatchpay.app.runtime import Runtime
from hatchpay.app.sealing import feed_of, receipts_of
from hatchpay.app.streams import streams_over
from hatchpay.audit.subject import subject_digest
from hatchpay.clock import wall_us
from hatchpay.control.app import create_control_app
from hatchpay.control.published import PublishedKeys
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.control.services import Services
from hatchpay.errors import SettingsError
from hatchpay.gate.body import Receive
from hatchpay.gate.exchange import Application, Send
from hatchpay.gate.health import HealthApp
from hatchpay.gate.protocol import audited_protocol
from hatchpay.gate.reading import GateReading
from hatchpay.gate.request import Scope
from hatchpay.ids import new_id
from hatchpay.settings import Settings
from hatchpay.store.erasure import LedgerErasure

__all__ = ["serve"]

_BACKLOG: Final = 2048
_GRACE_S: Final = 10


def serve(settings: Settings, application: str | None, announce: Callable[[str], None]) -> None:
    """Runs until it is told to stop (SIGINT, SIGTERM). `announce` gets a line per address once it answers.

    Raises SettingsError, AuditUnavailable or DirectoryUnavailable where it cannot start, OSError for a taken port.
    """
    _check_exposure(settings)
    _log_to_stderr()
    protected, catalogue = (None, EMPTY)
    if application is not None:
        protected = find_application(application)
        catalogue = read_catalogue(settings.routes or find_routes(application))
    runtime = Runtime(settings, catalogue, RouteTable(CONTROL_ROUTES))
    with (
        contextlib.closing(_listen(settings.host, settings.port)) as public,
        contextlib.closing(_listen(settings.admin_host, settings.admin_port)) as administration,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(_run(settings, runtime, protected, public, administration, announce))


async def _run(
    settings: Settings,
    runtime: Runtime,
    protected: Application | None,
    public: socket.socket,
    administration: socket.socket,
    announce: Callable[[str], None],
) -> None:
    url = settings.public_url or _served(settings, public)
    own_tokens.prepare(runtime.directory, runtime.secrets.kek, url)
    runtime.snapshots.refresh()
    control = create_control_app(_services(settings, runtime, url))
    gate = runtime.gate(protected or _nothing, control, only_proxies=_needs_proxy(settings))
    await runtime.start()
    try:
        main = _Server(
            uvicorn.Config(
                gate,
                http=audited_protocol(gate.refuse, settings.client_patience_s),
                ws="none",
                lifespan="on" if protected is not None else "off",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        health = _Server(
            uvicorn.Config(
                HealthApp(runtime.metrics, runtime.failing),
                ws="none",
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
            )
        )
        beside = asyncio.create_task(health.serve(sockets=[administration]))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, main.handle_exit, number, None)
        _settle_collector()
        main.on_started = lambda: _announce(settings, public, administration, announce)
        await main.serve(sockets=[public])
        health.should_exit = True
        await beside
        if not main.started:
            raise SettingsError("the application's start-up failed")
    finally:
        await runtime.stop()


def _services(settings: Settings, runtime: Runtime, url: str) -> Services:
    directory = runtime.directory
    signer = Signer(runtime.trust, wall_us, runtime.secrets.kek)
    insecure = settings.allow_insecure_issuers
    policies = Policies(directory, wall_us, new_id, runtime.body_fields)
    feed = feed_of(runtime.paths, runtime.vault)
    exports = export_register(runtime.paths, feed)
    return Services(
        keys=runtime.keys,
        roles=Roles(directory, wall_us, new_id),
        permissions=Permissions(directory),
        explanations=Explanations(
            directory,
            lambda: runtime.snapshots.current,
            lambda: runtime.snapshots.rules,
            runtime.routes,
            GateReading(),
            runtime.history,
            wall_us,
        ),
        policies=policies,
        units=BusinessUnits(directory, wall_us, new_id),
        tenants=Tenants(directory, wall_us, new_id, runtime.secrets.peppers),
        advice=Advice(directory, runtime.replay, runtime.history, wall_us, new_id),
        issuers=Issuers(
            directory, wall_us, new_id, runtime.documents.keys, lambda: runtime.trust().urls, insecure=insecure
        ),
        tokens=Tokens(directory, signer, wall_us, new_id, lambda: url, settings.token_life_s),
        others_tokens=OthersTokens(lambda: runtime.snapshots.current, lambda: runtime.snapshots.rules, wall_us),
        key_authenticator=runtime.key_authenticator,
        token_authenticator=runtime.token_authenticator,
        published=PublishedKeys(runtime.trust, wall_us, url),
        history=runtime.history,
        receipts=receipts_of(settings, runtime.paths, runtime.vault),
        erasures=Erasures(
            directory,
            LedgerErasure(runtime.paths.ledger, runtime.vault),
            lambda tenant_id, subject: subject_digest(runtime.secrets.fingerprint_key(), tenant_id, subject),
            wall_us,
            new_id,
            exports=lambda tenant_id, seqs: delivered(exports, tenant_id, seqs),
        ),
        rehearsals=rehearsals_over(directory, runtime.replay, runtime.snapshots, runtime.routes, policies),
        exporter=exporter_over(runtime.paths, feed, exports),
        export_access=ExportAccess(directory, exports, wall_us),
        streams=streams_over(settings, runtime.paths, directory, runtime.secrets),
        changed=runtime.changed,
    )


class _Server(uvicorn.Server):
    """Leaves signals to the loop: uvicorn would raise them again, and end the process before the record is closed."""

    on_started: Callable[[], None] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands where no application is served. No route leads here, so nobody arrives."""
    raise SettingsError("there is no application behind HatchPay")


def _announce(
    settings: Settings, public: socket.socket, administration: socket.socket, announce: Callable[[str], None]
) -> None:
    announce(f"HatchPay serves {_served(settings, public)}")
    announce(f"health and metrics on http://{own_tokens.shown(*administration.getsockname()[:2])}")


def _served(settings: Settings, public: socket.socket) -> str:
    return own_tokens.url_of(settings, *public.getsockname()[:2])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _settle_collector() -> None:
    """What was loaded to start with stays; to look through all of it again and again costs a part of the rate."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _needs_proxy(settings: Settings) -> bool:
    """Without TLS of our own, what arrives on a public address must come through a proxy that has it."""
    return not _is_loopback(settings.host) and settings.tls_cert is None


def _check_exposure(settings: Settings) -> None:
    if _needs_proxy(settings) and not settings.trusted_proxies:
        raise SettingsError(
            f"{settings.host} is not a loopback address: give tls_cert and tls_key, or declare the proxy that has "
            "TLS in trusted_proxies"
        )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
        root.setLevel(logging.WARNING)
