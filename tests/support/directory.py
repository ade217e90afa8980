"""A directory with its use cases, a clock that stands still, and short ways to say what tests say often."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from tests.support.issuer import FakeIssuer

from hatchpay.access.permission import Permission
from hatchpay.admin.business_units import BusinessUnits
from hatchpay.admin.issuer_keys import IssuerKeyRefresh
from hatchpay.admin.issuers import Issuers
from hatchpay.admin.keys import Keys
from hatchpay.admin.local import local_actor
from hatchpay.admin.peppers import PepperAdmin
from hatchpay.admin.permissions import Permissions
from hatchpay.admin.policies import Policies
from hatchpay.admin.roles import Roles
from hatchpay.admin.signing_keys import Signer, SigningKeys
from hatchpay.admin.tenants import Tenants
from hatchpay.admin.token_views import IssuerView, NewIssuer, TokenWish
from hatchpay.admin.tokens import Tokens
from hatchpay.admin.views import Actor, CreatedKey, NewKey, Onboarded, RoleDraft, RoleView
from hatchpay.audit.ports import KeyUsage
from hatchpay.audit.record import Change
from hatchpay.errors import FetchFailed
from hatchpay.identity.authenticator import ApiKeyAuthenticator, Authenticated, Outcome
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.principal import Principal
from hatchpay.identity.tokens import TokenAuthenticator
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.tokens.digest import Peppers

__all__ = [
    "HOUR",
    "KEEP_S",
    "MAPPING",
    "SECOND",
    "SERVED",
    "START",
    "URL",
    "FakeClock",
    "FakeInternet",
    "FakeUsage",
    "UnsyncedDirectory",
    "World",
    "fresh_directory",
]

START = 1_790_000_000_000_000
SECOND = 1_000_000
HOUR = 3_600_000_000
URL = "https://auth.test"
"""Where the installation serves: `iss` and `aud` of its own tokens."""

KEEP_S = 86_400
MAPPING = ClaimsMapping(roles="roles", permissions="permissions", business_units=None)

SERVED = (
    Permission(name="shop.orders.read", description="Read orders", read_only=True),
    Permission(name="shop.customers.read", description="Read customers", read_only=True, sensitive=True),
    Permission(name="shop.orders.create", description="Create orders"),
)


class FakeClock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class FakeUsage:
    def __init__(self) -> None:
        self.uses: dict[str, list[KeyUsage]] = {}

    def usage(self, key_ids: list[str]) -> dict[str, list[KeyUsage]]:
        return {key_id: self.uses[key_id] for key_id in key_ids if key_id in self.uses}


class FakeInternet:
    """What issuers publish, by their JWKS URL, or else by their name; `asked` are the fetches so far."""

    def __init__(self) -> None:
        self.published: dict[str, FakeIssuer | bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.failing: str | None = None
        """The code with which every fetch fails."""

    def publish(self, issuer: FakeIssuer) -> None:
        self.published[issuer.url] = issuer

    def __call__(self, issuer: str, jwks_url: str | None) -> bytes:
        self.asked.append((issuer, jwks_url))
        found = self.published.get(jwks_url or issuer)
        if self.failing is not None or found is None:
            raise FetchFailed("the server did not answer", code=self.failing or "fetch_unreachable")
        return found if isinstance(found, bytes) else found.document()


class UnsyncedDirectory(SqlDirectory):
    """As the real one, but does not wait for the disk: tests of rules need no durability."""

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        connection.execute("PRAGMA synchronous = OFF")
        return connection


@cache
def _shared() -> tuple[TemporaryDirectory[str], UnsyncedDirectory, bytes]:
    folder = TemporaryDirectory()
    path = Path(folder.name, "directory.db")
    directory = UnsyncedDirectory(path)
    directory.sync_permissions(SERVED)
    directory.close()
    return folder, directory, path.read_bytes()


def fresh_directory() -> SqlDirectory:
    """An empty directory. There is one at a time: making another anew costs more than most tests do."""
    _, directory, pristine = _shared()
    directory.close()
    path = directory.path
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    path.write_bytes(pristine)
    return directory


class World:
    """Everything around one directory. `peppers` may be replaced, as `pepper rotate` replaces the file.

    Where tokens are used, `begin_tokens` comes first. `wanted` are the issuers whose keys an unknown `kid` asked for;
    `keys_wait`, where it is set, is what the asker is told to wait for.
    """

    def __init__(self, directory: SqlDirectory) -> None:
        self.directory = directory
        self.directory.sync_permissions(SERVED)
        self.clock = FakeClock()
        self.usage = FakeUsage()
        self.peppers = Peppers(1, {1: b"\x01" * 32})
        self.snapshots = DirectorySnapshots(self.directory, lambda: self.peppers)
        self.keys = Keys(self.directory, self.usage, self.clock, new_id, lambda: self.peppers)
        self.roles = Roles(self.directory, self.clock, new_id)
        self.units = BusinessUnits(self.directory, self.clock, new_id)
        self.permissions = Permissions(self.directory)
        self.policies = Policies(self.directory, self.clock, new_id)
        self.tenants = Tenants(self.directory, self.clock, new_id, lambda: self.peppers)
        self.pepper_admin = PepperAdmin(self.directory, self.clock, new_id, lambda: self.peppers)
        self.kek = b"\x03" * 32
        self.internet = FakeInternet()
        self.wanted: list[str] = []
        self.keys_wait: Callable[[], Awaitable[None]] | None = None
        self.signing_keys = SigningKeys(self.directory, self.clock, new_id, lambda: self.kek)
        self.signer = Signer(lambda: self.snapshots.current.trust, self.clock, lambda: self.kek)
        self.tokens = Tokens(self.directory, self.signer, self.clock, new_id, lambda: URL, 900)
        self.issuers = Issuers(
            self.directory, self.clock, new_id, self.internet, lambda: self.snapshots.current.trust.urls
        )
        self.issuer_keys = IssuerKeyRefresh(self.directory, self.clock, self.internet)
        self.key_authenticator = ApiKeyAuthenticator(lambda: self.snapshots.current, self.clock, lambda *_: None)
        self.token_authenticator = TokenAuthenticator(
            lambda: self.snapshots.current, self.clock, self._want_keys, keep_s=KEEP_S
        )

    def close(self) -> None:
        self.directory.close()

    def local(self, tenant_id: str = PLATFORM_TENANT_ID) -> Actor:
        with self.directory.read() as view:
            return local_actor(1000, tenant_id, new_id(), view.catalogue())

    def onboard(self, name: str = "Demo") -> Onboarded:
        return self.tenants.onboard(self.local(), name)

    def actor(self, key: CreatedKey, tenant_id: str) -> Actor:
        """Whoever calls with `key`. The use cases read from the directory what it may do."""
        principal = Principal(
            id=key.view.id, kind="api_key", tenant_id=tenant_id, key_id=key.view.id, roles=(), grants={}
        )
        return Actor(principal, new_id())

    def admin(self, onboarded: Onboarded) -> Actor:
        return self.actor(onboarded.api_key, onboarded.tenant.id)

    def role_id(self, actor: Actor, name: str) -> str:
        return next(role.id for role in self.roles.list(actor, 200).data if role.name == name)

    def role(self, actor: Actor, name: str, *permissions: str) -> RoleView:
        return self.roles.create(actor, RoleDraft(name=name, permissions=permissions))

    def key(self, actor: Actor, *role_ids: str, **limits: object) -> CreatedKey:
        """A key with these roles, made by `actor`."""
        wanted = msgspec.structs.replace(NewKey(name="some key"), **limits)
        created = self.keys.create(actor, wanted)
        if not role_ids:
            return created
        return CreatedKey(self.keys.set_roles(actor, created.view.id, role_ids), created.key)

    def begin_tokens(self) -> None:
        """Make the first signing key, and serve under `URL`."""
        self.signing_keys.begin(self.local())
        with self.directory.transaction() as transaction:
            transaction.serve_url(URL, self.clock())
        self.snapshots.refresh()

    def ask(self, credential: str) -> Outcome:
        """What a key's text, or a token, is right now, as the gate asks."""
        self.snapshots.refresh()
        one = self.key_authenticator if credential.startswith("hp_") else self.token_authenticator
        return one.authenticate(credential)

    def proven(self, credential: str) -> Authenticated:
        outcome = self.ask(credential)
        assert isinstance(outcome, Authenticated), outcome
        return outcome

    def token(self, credential: str, scope: str | None = None, expires_in: int | None = None) -> str:
        """A token of ours for a key's text, or in the place of a token of ours."""
        wish = TokenWish(scope=scope, expires_in=expires_in)
        return self.tokens.issue(self.proven(credential), wish, new_id()).access_token

    def exchanged(self, client: str, subject: str, scope: str | None = None) -> str:
        """A token of ours in the place of `subject`, through the key `client`."""
        wish = TokenWish(scope=scope)
        return self.tokens.exchange(self.proven(client), self.proven(subject), wish, new_id()).access_token

    def caller(self, credential: str) -> Actor:
        """Whoever calls with this key or token, as the gate lets them in."""
        return Actor(self.proven(credential).principal, new_id())

    def trust(self, actor: Actor, issuer: FakeIssuer, *ceiling: str, **changes: object) -> IssuerView:
        """`actor`'s tenant trusts `issuer`, whose users hold at most `ceiling`."""
        self.internet.publish(issuer)
        wanted = NewIssuer(
            issuer=issuer.url,
            audience=issuer.audience,
            jwks_url=None,
            algorithms=issuer.algorithms,
            ceiling=ceiling,
            claims=MAPPING,
        )
        view = self.issuers.create(actor, msgspec.structs.replace(wanted, **changes))
        self.snapshots.refresh()
        return view

    def issuer(self, url: str = "https://id.test", *algorithms: str, audience: str = "https://api.test") -> FakeIssuer:
        """An identity provider that lives by this world's clock."""
        return FakeIssuer(url, algorithms or ("EdDSA",), audience=audience, now=lambda: self.clock.now / SECOND)

    def _want_keys(self, issuer_id: str) -> Callable[[], Awaitable[None]] | None:
        self.wanted.append(issuer_id)
        return self.keys_wait

    def changes(self) -> list[Change]:
        return self.directory.outbox()

    def last_change(self) -> Change:
        return self.changes()[-1]
