"""No sequence of calls gives anybody more than the caller held, and the tenant always keeps an administrator.

An attacker starts with one key of any roles, for the whole tenant or for some units, and any limits, or with a narrowed
token of it, and runs an issuer of tokens of its own. It makes any calls on any keys, roles and trusted issuers with
every credential that it gets: keys, tokens of ours for them, and tokens of any trusted issuer that it can sign. What a
credential can do is judged by the compiled snapshot, as the gate would, not by the rules under test; and of an issuer,
by all that its users could claim.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.directory import HOUR, MAPPING, SECOND, SERVED, START, World, fresh_directory

from hatchpay.access.permission import CONTROL_PERMISSIONS
from hatchpay.admin.token_views import IssuerChanges, NewIssuer
from hatchpay.admin.views import Actor, CreatedKey, KeyChanges, NewKey, RoleDraft
from hatchpay.errors import HatchPayError
from hatchpay.identity.authenticator import Authenticated
from hatchpay.identity.issuer import ClaimsMapping, grants_of
from hatchpay.identity.ports import IssuerEntry
from hatchpay.identity.principal import Limits, Principal, Reach
from hatchpay.ids import new_id

CONTROL = tuple(permission.name for permission in CONTROL_PERMISSIONS)
DATA = tuple(permission.name for permission in SERVED)

times = st.sampled_from([None, START + HOUR, START + 2 * HOUR, START + 3 * HOUR])
networks = st.sampled_from([None, ("192.0.2.0/24",), ("192.0.2.0/25",), ("10.0.0.0/8", "192.0.2.0/24"), ("0.0.0.0/0",)])
unit_numbers = st.sampled_from([None, (0,), (1,), (0, 1)])
limits = st.fixed_dictionaries(
    {
        "environment": st.sampled_from(["live", "live", "test"]),
        "expires_at_us": times,
        "allowed_cidrs": networks,
        "units": unit_numbers,
    }
)
some_data = st.sets(st.sampled_from(DATA)).map(sorted)
most_control = st.sets(st.sampled_from(CONTROL), max_size=3).map(lambda left_out: sorted({*CONTROL} - left_out))
changes = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["enabled", "disabled"]),
        "expires_at_us": times,
        "allowed_cidrs": networks,
        "units": unit_numbers,
    },
)
index = st.integers(0, 30)
LIFE_S = 12 * 3600
EVIL_KEYS = "https://evil.test/keys"
mappings = st.sampled_from(
    [
        MAPPING,
        ClaimsMapping(),
        ClaimsMapping(roles="permissions"),
        ClaimsMapping(user_id="permissions", permissions="roles"),
    ]
)
ceilings = st.one_of(some_data, st.just([]), st.just([*DATA, *CONTROL]), st.just(["api-key.keys.read"]))
CHANGES: dict[str, st.SearchStrategy[object]] = {
    "audience": st.sampled_from(["audience 1", "audience 2", "https://api.test"]),
    "jwks_url": st.sampled_from([None, EVIL_KEYS]),
    "algorithms": st.sampled_from([("EdDSA",), ("ES256",), ("EdDSA", "ES256")]),
    "ceiling": ceilings.map(tuple),
    "claims": mappings,
    "status": st.sampled_from(["enabled", "disabled"]),
}
issuer_changes = st.one_of(
    *(st.fixed_dictionaries({name: values}) for name, values in CHANGES.items()),
    st.fixed_dictionaries({}, optional=CHANGES),
)


class Escalation(RuleBasedStateMachine):
    """`owned` are the attacker's credentials, with whom each has called as; `start` is what the first of them could
    do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World(fresh_directory())
        self.world.begin_tokens()
        self.onboarded = self.world.onboard("Demo")
        self.admin = self.world.admin(self.onboarded)
        self.units = [self.world.units.create(self.admin, f"unit {number}", "UTC").id for number in range(2)]
        self.names = 0
        self.evil = self.world.issuer("https://evil.test", "EdDSA", "ES256")
        self.world.internet.publish(self.evil)
        self.world.internet.published[EVIL_KEYS] = self.evil

    @initialize(
        control=most_control,
        data=some_data,
        held=st.one_of(st.just({}), limits),
        is_admin=st.integers(0, 4),
        units=unit_numbers,
        wide=st.one_of(most_control, st.just([])),
        scope=st.one_of(st.none(), st.tuples(most_control, some_data)),
    )
    def begin(
        self,
        control: list[str],
        data: list[str],
        held: dict[str, Any],
        is_admin: int,
        units: tuple[int, ...] | None,
        wide: list[str],
        scope: tuple[list[str], list[str]] | None,
    ) -> None:
        world, admin = self.world, self.admin
        strong = world.role(admin, "strong", *DATA, "api-key.keys.read")
        world.key(admin, strong.id, world.role_id(admin, "viewer"))
        world.key(admin, world.role(admin, "weak", "access.roles.read").id, **self.translated({"units": (0,)}))
        for number, limited in ((0, {}), (1, {}), (0, {"units": (0, 1)})):
            scoped = world.key(admin, **self.translated(limited)).view.id
            world.keys.set_roles(admin, scoped, (strong.id,), {strong.id: (self.units[number],)})
        for narrow in ({"units": (0,)}, {"expires_at_us": START + HOUR}, {"allowed_cidrs": ("192.0.2.0/25",)}):
            world.key(admin, strong.id, **self.translated(narrow))
        disabled = world.key(admin, strong.id)
        world.keys.update(admin, disabled.view.id, KeyChanges(status="disabled"))
        role_id = world.role(admin, "attacker", *control, *data).id
        if is_admin == 0:
            role_id, held = world.role_id(admin, "admin"), {}
        honest = world.issuer("https://id.test")
        world.trust(admin, honest, *DATA, "api-key.keys.read")
        world.trust(admin, honest, *DATA, audience="by role", claims=ClaimsMapping(roles="roles"))
        ended = world.trust(admin, honest, *DATA, audience="ended")
        world.issuers.update(admin, ended.id, IssuerChanges(status="disabled"))
        first = world.key(admin, **self.translated(held))
        # What the attacker holds for some units only, it may hold in part for the whole tenant as well.
        beside = world.role(admin, "beside", *wide, *data[:1]).id
        chosen = {} if units is None else {role_id: tuple(self.units[number] for number in units)}
        world.keys.set_roles(admin, first.view.id, (role_id, beside), chosen)
        credential = first.key
        if scope is not None:
            mine = world.proven(credential).principal.held
            credential = world.token(credential, " ".join(sorted({*mine} & {*scope[0], *scope[1]})), LIFE_S)
        self.owned = [(credential, world.caller(credential))]
        self.states = self.states_now()
        self.start = reach_of(world.proven(credential).principal)

    @rule(by=index, wanted=limits)
    def create(self, by: int, wanted: dict[str, Any]) -> None:
        self.attempt(lambda caller: self.world.keys.create(caller, NewKey(name="k", **self.translated(wanted))), by)

    @rule(by=index, which=index, keep=st.booleans(), units=unit_numbers)
    def attach_to_all(self, by: int, which: int, keep: bool, units: tuple[int, ...] | None) -> None:
        role_id = self.role_id(which)
        chosen = {} if units is None else {role_id: tuple(self.units[number] for number in units)}
        for view in self.world.keys.list(self.admin, 200).data:
            kept = {role.id: role.business_unit_ids for role in view.roles if keep and role.id != role_id}
            scopes = {**{one: ids for one, ids in kept.items() if ids is not None}, **chosen}
            call = partial(self.world.keys.set_roles, key_id=view.id, role_ids=(role_id, *kept))
            self.attempt(partial(call, business_unit_ids=scopes), by)

    @rule(by=index, units=unit_numbers)
    def attach_all_for(self, by: int, units: tuple[int, ...] | None) -> None:
        """Every role that a key holds, for these units and no others."""
        ids = () if units is None else tuple(self.units[number] for number in units)
        for view in reversed(self.world.keys.list(self.admin, 200).data):
            held = tuple(role.id for role in view.roles)
            call = partial(self.world.keys.set_roles, key_id=view.id, role_ids=held)
            self.attempt(partial(call, business_unit_ids=dict.fromkeys(held, ids) if ids else {}), by)

    @rule(by=index, which=index, grace=st.sampled_from([0, 60]))
    def rotate(self, by: int, which: int, grace: int) -> None:
        self.attempt(lambda caller: self.world.keys.rotate(caller, self.key_id(which), grace), by)

    @rule(by=index, control=most_control, data=some_data)
    def create_role(self, by: int, control: list[str], data: list[str]) -> None:
        self.names += 1
        draft = RoleDraft(name=f"role {self.names}", permissions=(*control, *data))
        self.attempt(lambda caller: self.world.roles.create(caller, draft), by)

    @rule(by=index, held=st.sets(st.sampled_from([*DATA, *CONTROL[:4]])), keep=st.booleans())
    def update_all_roles(self, by: int, held: set[str], keep: bool) -> None:
        for view in self.world.roles.list(self.admin, 200).data:
            wanted = held | set(view.permissions) if keep else held
            draft = RoleDraft(name=view.name, permissions=tuple(sorted(wanted)))
            self.attempt(partial(self.world.roles.update, role_id=view.id, draft=draft), by)

    @invariant()
    def nobody_gained(self) -> None:
        if not hasattr(self, "owned"):
            return
        before, self.states = self.states, self.states_now()
        for name, after in self.states.items():
            if after is None:
                continue
            earlier = before.get(name)
            assert self.start.covers(after) or (earlier is not None and earlier.covers(after)), name
        for credential, _ in self.owned:
            outcome = self.world.ask(credential)
            assert not isinstance(outcome, Authenticated) or self.start.covers(reach_of(outcome.principal))

    @invariant()
    def an_administrator_is_left(self) -> None:
        assert any(
            (view.status, view.environment) == ("enabled", "live")
            and view.expires_at is view.business_unit_ids is view.allowed_cidrs is None
            and any(role.name == "admin" and role.business_unit_ids is None for role in view.roles)
            for view in self.world.keys.list(self.admin, 200).data
        )

    def teardown(self) -> None:
        self.world.close()

    def attempt(self, call: Any, by: int) -> None:
        """Let one of the attacker's credentials call; whatever secret it gets is the attacker's.

        It calls as who it was when it was let in first: what has changed since, the use cases must see for themselves.
        """
        _, caller = self.owned[by % len(self.owned)]
        try:
            result = call(Actor(caller.principal, new_id()))
        except HatchPayError:
            return
        if isinstance(result, CreatedKey):
            self.owned.append((result.key, self.world.actor(result, self.onboarded.tenant.id)))

    def own(self, make: Any, *arguments: Any) -> None:
        """What `make` gives is a credential of the attacker's."""
        try:
            credential = make(*arguments)
            self.owned.append((credential, self.world.caller(credential)))
        except HatchPayError:
            return

    def translated(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """`units` by number, to their ids."""
        rest = {name: value for name, value in wanted.items() if name != "units"}
        if "units" in wanted:
            numbers = wanted["units"]
            rest["business_unit_ids"] = None if numbers is None else tuple(self.units[number] for number in numbers)
        return rest

    def key_id(self, number: int) -> str:
        found = self.world.keys.list(self.admin, 200).data
        return found[number % len(found)].id

    def role_id(self, number: int) -> str:
        found = self.world.roles.list(self.admin, 200).data
        return found[number % len(found)].id

    def states_now(self) -> dict[object, Reach | None]:
        """What each key, and each user of an issuer, can do; None for one that can do nothing because it is disabled or
        deleted, and for a user without any permission.
        """
        self.world.snapshots.refresh()
        current = self.world.snapshots.current
        keys: dict[object, Reach | None] = {
            entry.principal.id: reach_of(entry.principal) if entry.state == "enabled" else None
            for entry in current.keys.values()
        }
        users: dict[object, Reach | None] = {
            (who, claimed): reach if entry.enabled and reach.permissions else None
            for entry in current.trust.issuers.values()
            for who in signers(entry)
            for claimed, reach in self.claimable(entry)
        }
        return keys | users

    def claimable(self, issuer: IssuerEntry) -> list[tuple[str, Reach]]:
        """All that the issuer's users can claim: any permission, and any role of the tenant by its name."""
        permissions = frozenset() if issuer.claims.permissions is None else frozenset([*DATA, *CONTROL])
        roles = {} if issuer.claims.roles is None else self.world.snapshots.current.trust.roles
        named = {name: held for (tenant_id, name), held in roles.items() if tenant_id == issuer.tenant_id}
        grants = {name: grants_of(issuer.ceiling, [(name, held)], frozenset()) for name, held in named.items()}
        grants[""] = grants_of(issuer.ceiling, [], permissions)
        return [(name, Reach(frozenset(held), Limits())) for name, held in grants.items()]


class OfKeys(Escalation):
    """By all that can be done to keys and roles, while time goes by."""

    @rule()
    def wait(self) -> None:
        self.world.clock.now = min(self.world.clock.now + HOUR, START + 3 * HOUR)

    @rule(by=index, which=index, wanted=changes)
    def update(self, by: int, which: int, wanted: dict[str, Any]) -> None:
        self.attempt(
            lambda caller: self.world.keys.update(caller, self.key_id(which), KeyChanges(**self.translated(wanted))),
            by,
        )

    @rule(by=index, status=st.sampled_from(["enabled", "disabled"]))
    def switch_all(self, by: int, status: Literal["enabled", "disabled"]) -> None:
        for view in reversed(self.world.keys.list(self.admin, 200).data):
            self.attempt(partial(self.world.keys.update, key_id=view.id, changes=KeyChanges(status=status)), by)

    @rule(by=index, which=index)
    def detach(self, by: int, which: int) -> None:
        self.attempt(lambda caller: self.world.keys.set_roles(caller, self.key_id(which), ()), by)

    @rule(by=index, which=index)
    def delete(self, by: int, which: int) -> None:
        self.attempt(lambda caller: self.world.keys.delete(caller, self.key_id(which)), by)

    @rule(by=index, which=index)
    def delete_role(self, by: int, which: int) -> None:
        self.attempt(lambda caller: self.world.roles.delete(caller, self.role_id(which)), by)


class OfTokens(Escalation):
    """By tokens of ours and of other issuers, besides."""

    def attempt(self, call: Any, by: int) -> None:
        """As anybody at all, the last ones first: they are the least alike."""
        for number in range(len(self.owned) - 1, max(len(self.owned) - 6, -1), -1):
            super().attempt(call, number)

    @rule(by=index, control=most_control, data=some_data, whole=st.booleans())
    def issue(self, by: int, control: list[str], data: list[str], whole: bool) -> None:
        """A token for any of the credentials, narrowed or not."""
        credential, _ = self.owned[by % len(self.owned)]
        outcome = self.world.ask(credential)
        if isinstance(outcome, Authenticated) and outcome.principal.key_id is not None:
            held = outcome.principal.held
            scope = None if whole else " ".join(sorted({*held} & {*control, *data}))
            self.own(self.world.token, credential, scope, LIFE_S)

    @rule(by=index, subject=index)
    def exchange(self, by: int, subject: int) -> None:
        client, credential = self.owned[by % len(self.owned)][0], self.owned[subject % len(self.owned)][0]
        if isinstance(self.world.ask(client), Authenticated) and isinstance(self.world.ask(credential), Authenticated):
            self.own(self.world.exchanged, client, credential)

    @rule(ceiling=ceilings, mapping=mappings, audience=st.sampled_from(["audience 1", "audience 2"]))
    def trust(self, ceiling: list[str], mapping: ClaimsMapping, audience: str) -> None:
        wanted = NewIssuer(
            issuer=self.evil.url,
            audience=audience,
            jwks_url=None,
            algorithms=("EdDSA",),
            ceiling=tuple(ceiling),
            claims=mapping,
        )
        self.attempt(lambda caller: self.world.issuers.create(caller, wanted), 0)
        self.pose(("roles", "permissions"))

    @rule(wanted=issuer_changes)
    def update_all_issuers(self, wanted: dict[str, Any]) -> None:
        for view in self.world.issuers.list(self.admin, 200).data:
            changes = IssuerChanges(**wanted)
            self.attempt(partial(self.world.issuers.update, issuer_id=view.id, changes=changes), 0)
        self.pose(("roles", "permissions"))

    @rule(named=st.sampled_from([("roles",), ("permissions",), ("roles", "permissions")]))
    def pose(self, named: tuple[str, ...]) -> None:
        """As a user of any trusted issuer whose keys are the attacker's, who claims to be everything."""
        names = [role.name for role in self.world.roles.list(self.admin, 200).data]
        known = {"roles": names, "permissions": [*DATA, *CONTROL]}
        claims = {"exp": self.world.clock.now // SECOND + LIFE_S, **{name: known[name] for name in named}}
        for view in self.world.issuers.list(self.admin, 200).data:
            token = self.evil.token(signed_with=view.algorithms[0], iss=view.issuer, aud=view.audience, **claims)
            if isinstance(self.world.ask(token), Authenticated):
                self.own(str, token)


def reach_of(principal: Principal) -> Reach:
    scoped = {name: frozenset(units) for name, units in principal.scoped.items()}
    return Reach(frozenset(principal.grants), principal.limits, scoped)


def signers(issuer: IssuerEntry) -> list[object]:
    """Whoever can sign a token that means this entry: another place of its keys, another audience or algorithm, or
    another meaning of a claim lets others be its users.
    """
    means = (issuer.id, issuer.issuer, issuer.audience, issuer.jwks_url, repr(issuer.claims))
    return [(*means, algorithm) for algorithm in sorted(issuer.algorithms)]


for machine, examples in ((OfKeys, 25), (OfTokens, 40)):
    machine.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=15,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
TestNoEscalationOfKeys = OfKeys.TestCase
TestNoEscalationOfTokens = OfTokens.TestCase
