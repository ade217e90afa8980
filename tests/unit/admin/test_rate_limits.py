"""Rate limits of keys and roles: what may be set, who may loosen them, and that nobody gets around their own."""

from __future__ import annotations

import json

import pytest
from tests.support.directory import MAPPING, World

from hatchpay.admin.token_views import NewIssuer
from hatchpay.admin.views import Actor, KeyChanges, NewKey, Onboarded, RateLimitView, RoleDraft
from hatchpay.errors import Conflict, Forbidden, HatchPayError, InvalidInput
from hatchpay.identity.principal import RateLimit

MINUTE, DAY = RateLimit(100, 60), RateLimit(5000, 86_400)
MONTH_S = 31 * 86_400
READ = "shop.orders.read"


def limited(world: World, admin: Actor, *limits: RateLimit) -> Actor:
    """An admin of a limited rate."""
    key = world.key(admin, world.role_id(admin, "admin"), rate_limits=limits or (MINUTE,))
    return world.actor(key, admin.principal.tenant_id)


def role(world: World, admin: Actor, name: str, *limits: RateLimit) -> str:
    return world.roles.create(admin, RoleDraft(name=name, permissions=(READ,), rate_limits=limits)).id


def code(call: object, *arguments: object) -> str:
    try:
        call(*arguments)  # type: ignore[operator]
    except HatchPayError as error:
        return error.code
    return "done"


def test_limits_are_kept_and_shown_the_shortest_window_first(world: World, admin: Actor) -> None:
    shown = (RateLimitView(100, 60), RateLimitView(5000, 86_400))
    key = world.keys.create(admin, NewKey(name="k", rate_limits=(DAY, MINUTE))).view
    assert key.rate_limits == world.keys.get(admin, key.id).rate_limits == shown
    assert world.keys.update(admin, key.id, KeyChanges(name="new")).rate_limits == shown
    assert world.keys.update(admin, key.id, KeyChanges(rate_limits=())).rate_limits == ()
    role_id = role(world, admin, "till", DAY, MINUTE)
    assert world.roles.get(admin, role_id).rate_limits == shown
    assert world.roles.update(admin, role_id, RoleDraft(name="till")).rate_limits == ()


def test_a_change_of_a_limit_is_on_record(world: World, admin: Actor) -> None:
    key_id = world.key(admin, rate_limits=(MINUTE,)).view.id
    world.keys.update(admin, key_id, KeyChanges(rate_limits=(DAY,)))
    assert json.loads(world.last_change().detail) == {
        "before": {"rate_limits": [{"requests": 100, "window_seconds": 60}]},
        "after": {"rate_limits": [{"requests": 5000, "window_seconds": 86_400}]},
    }
    assert world.last_change().event == "api-key.keys.updated"


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        ([(1, 1), (1_000_000_000, MONTH_S)], None),
        ([(1, window) for window in range(1, 6)], None),
        ([(1, window) for window in range(1, 7)], "invalid_field"),
        ([(0, 60)], "invalid_field"),
        ([(-1, 60)], "invalid_field"),
        ([(1_000_000_001, 60)], "invalid_field"),
        ([(1, 0)], "invalid_field"),
        ([(1, MONTH_S + 1)], "invalid_field"),
        ([(1, 60), (2, 60)], "duplicate_window"),
    ],
)
def test_what_is_no_limit_is_refused_by_its_field(
    world: World, admin: Actor, limits: list[tuple[int, int]], refusal: str | None
) -> None:
    given = tuple(RateLimit(*limit) for limit in limits)
    key_id = world.key(admin).view.id
    role_id = role(world, admin, "old")
    for call in (
        lambda: world.keys.create(admin, NewKey(name="k", rate_limits=given)),
        lambda: world.keys.update(admin, key_id, KeyChanges(rate_limits=given)),
        lambda: world.roles.create(admin, RoleDraft(name="new", rate_limits=given)),
        lambda: world.roles.update(admin, role_id, RoleDraft(name="old", rate_limits=given)),
    ):
        if refusal is None:
            call()
            continue
        with pytest.raises(InvalidInput) as caught:
            call()
        assert (caught.value.code, caught.value.field) == (refusal, "rate_limits")


def test_a_built_in_role_has_no_limits(world: World, admin: Actor) -> None:
    with pytest.raises(Conflict):
        world.roles.update(admin, world.role_id(admin, "viewer"), RoleDraft(name="viewer", rate_limits=(MINUTE,)))


LOOSER = [(), (RateLimit(101, 60),), (RateLimit(1, 61),)]
TIGHTER = [(RateLimit(99, 60),), (MINUTE, DAY)]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [*((limits, "grant_exceeds_caller") for limits in LOOSER), *((limits, "done") for limits in TIGHTER)],
)
def test_loosening_a_limit_is_for_those_who_hold_all_that_it_limits(
    world: World, admin: Actor, limits: tuple[RateLimit, ...], expected: str
) -> None:
    """A manager may change keys and roles, and holds nothing of the shop."""
    manage = ("api-key.keys.update", "access.roles.update", "api-key.key-roles.update")
    manager = world.actor(world.key(admin, world.role(admin, "manager", *manage).id), admin.principal.tenant_id)
    till = role(world, admin, "till", MINUTE)
    key_id = world.key(admin, till, rate_limits=(MINUTE,)).view.id

    draft = RoleDraft(name="till", permissions=(READ,), rate_limits=limits)
    assert code(world.keys.update, manager, key_id, KeyChanges(rate_limits=limits)) == expected
    assert code(world.roles.update, manager, till, draft) == expected
    assert code(world.keys.update, admin, key_id, KeyChanges(rate_limits=limits)) == "done"
    assert code(world.roles.update, admin, till, draft) == "done"


def test_detaching_a_role_that_limits_the_rate_loosens_it(world: World, admin: Actor) -> None:
    manager = world.actor(
        world.key(admin, world.role(admin, "manager", "api-key.key-roles.update").id), admin.principal.tenant_id
    )
    slow, fast = role(world, admin, "slow", MINUTE), role(world, admin, "fast")
    key_id = world.key(admin, slow, fast).view.id
    assert code(world.keys.set_roles, manager, key_id, (fast,)) == "grant_exceeds_caller"
    assert code(world.keys.set_roles, manager, key_id, (slow,)) == "done"
    assert code(world.keys.set_roles, admin, key_id, ()) == "done"


class TestWhoeverIsLimited:
    """grants nothing: a second key, whatever its limits, is a second allowance."""

    def test_makes_no_key(self, world: World, admin: Actor) -> None:
        caller = limited(world, admin)
        for limits in ((), (MINUTE,), (RateLimit(1, 60),)):
            with pytest.raises(Forbidden) as caught:
                world.keys.create(caller, NewKey(name="second", rate_limits=limits))
            assert caught.value.code == "grant_exceeds_caller"

    def test_is_limited_by_a_role_as_well(self, world: World, admin: Actor) -> None:
        slow = role(world, admin, "slow", MINUTE)
        caller = world.actor(world.key(admin, slow, world.role_id(admin, "admin")), admin.principal.tenant_id)
        assert code(world.keys.create, caller, NewKey(name="second")) == "grant_exceeds_caller"

    def test_gets_neither_another_keys_secret_nor_a_wider_key_or_role(self, world: World, admin: Actor) -> None:
        caller = limited(world, admin)
        viewer = world.role_id(admin, "viewer")
        other = world.key(admin, viewer).view.id
        asleep = world.key(admin, viewer).view.id
        world.keys.update(admin, asleep, KeyChanges(status="disabled"))
        slow = role(world, admin, "slow", MINUTE)
        assert code(world.keys.rotate, caller, other) == "grant_exceeds_caller"
        assert code(world.keys.set_roles, caller, other, (viewer, slow)) == "grant_exceeds_caller"
        assert code(world.keys.update, caller, asleep, KeyChanges(status="enabled")) == "grant_exceeds_caller"
        assert code(world.roles.create, caller, RoleDraft(name="new")) == "grant_exceeds_caller"
        assert code(world.roles.update, caller, slow, RoleDraft(name="slow")) == "grant_exceeds_caller"

    def test_does_not_lift_its_own_limit(self, world: World, admin: Actor) -> None:
        slow = role(world, admin, "slow", MINUTE)
        key = world.key(admin, slow, world.role_id(admin, "admin"), rate_limits=(MINUTE,))
        caller = world.actor(key, admin.principal.tenant_id)
        assert code(world.keys.update, caller, key.view.id, KeyChanges(rate_limits=())) == "grant_exceeds_caller"
        kept = (world.role_id(admin, "admin"),)
        assert code(world.keys.set_roles, caller, key.view.id, kept) == "grant_exceeds_caller"
        for limits in LOOSER:
            draft = RoleDraft(name="slow", permissions=(READ,), rate_limits=limits)
            assert code(world.roles.update, caller, slow, draft) == "grant_exceeds_caller"

    def test_trusts_no_issuer(self, world: World, admin: Actor) -> None:
        world.begin_tokens()
        caller = limited(world, admin)
        issuer = world.issuer()
        world.internet.publish(issuer)
        wanted = NewIssuer(
            issuer=issuer.url,
            audience=issuer.audience,
            jwks_url=None,
            algorithms=("EdDSA",),
            ceiling=(READ,),
            claims=MAPPING,
        )
        assert code(world.issuers.create, caller, wanted) == "grant_exceeds_caller"

    def test_renews_its_own_secret_and_takes_away(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "admin"), rate_limits=(MINUTE,))
        caller = world.actor(key, admin.principal.tenant_id)
        other = world.key(admin, world.role_id(admin, "viewer")).view.id
        assert code(world.keys.rotate, caller, key.view.id) == "done"
        assert code(world.keys.update, caller, key.view.id, KeyChanges(rate_limits=(RateLimit(50, 60),))) == "done"
        assert code(world.keys.update, caller, other, KeyChanges(status="disabled", rate_limits=(DAY,))) == "done"
        assert code(world.keys.delete, caller, other) == "done"

    def test_is_limited_with_a_token_too(self, world: World, admin: Actor) -> None:
        world.begin_tokens()
        key = world.key(admin, world.role_id(admin, "admin"), rate_limits=(MINUTE,))
        caller = world.caller(world.token(key.key))
        assert code(world.keys.create, caller, NewKey(name="second")) == "grant_exceeds_caller"
        assert code(world.keys.rotate, caller, key.view.id) == "done"

    def test_is_limited_as_a_user_of_a_trusted_issuer_too(self, world: World, admin: Actor) -> None:
        world.begin_tokens()
        issuer = world.issuer()
        world.trust(admin, issuer, READ, "api-key.keys.create")
        role(world, admin, "slow", MINUTE)
        makers = ["api-key.keys.create"]
        fast = world.caller(issuer.token(sub="ann", permissions=makers))
        slow = world.caller(issuer.token(sub="ann", permissions=makers, roles=["slow"]))
        assert code(world.keys.create, fast, NewKey(name="k")) == "done"
        assert code(world.keys.create, slow, NewKey(name="k")) == "grant_exceeds_caller"
        key = world.key(admin, world.role(admin, "maker", *makers).id)
        exchanged = world.caller(world.exchanged(key.key, issuer.token(sub="ann", permissions=makers, roles=["slow"])))
        assert code(world.keys.create, exchanged, NewKey(name="k")) == "grant_exceeds_caller"
        assert code(world.keys.rotate, exchanged, key.view.id) != "done"


def test_users_keep_their_limit_unless_somebody_who_holds_all_of_theirs_lifts_it(world: World, admin: Actor) -> None:
    world.begin_tokens()
    world.trust(admin, world.issuer(), READ, "shop.customers.read")
    names = ("access.roles.update", "access.roles.delete", READ)
    manager = world.actor(world.key(admin, world.role(admin, "manager", *names).id), admin.principal.tenant_id)
    slow = role(world, admin, "slow", MINUTE)
    renamed = RoleDraft(name="other", permissions=(READ,), rate_limits=(MINUTE,))
    lifted = RoleDraft(name="slow", permissions=(READ,))
    assert code(world.roles.update, manager, slow, renamed) == "grant_exceeds_caller"
    assert code(world.roles.update, manager, slow, lifted) == "grant_exceeds_caller"
    assert code(world.roles.delete, manager, slow) == "grant_exceeds_caller"
    assert code(world.roles.delete, admin, slow) == "done"


def test_a_limited_key_is_no_administrator_and_the_last_one_cannot_be_limited(
    world: World, demo: Onboarded, admin: Actor
) -> None:
    first = demo.api_key.view.id
    slow = role(world, admin, "slow")
    limited(world, admin)
    assert code(world.keys.update, admin, first, KeyChanges(rate_limits=(MINUTE,))) == "last_administrator"
    world.keys.set_roles(admin, first, (world.role_id(admin, "admin"), slow))
    draft = RoleDraft(name="slow", permissions=(READ,), rate_limits=(MINUTE,))
    assert code(world.roles.update, admin, slow, draft) == "last_administrator"
    world.key(admin, world.role_id(admin, "admin"))
    assert code(world.roles.update, admin, slow, draft) == "done"
    assert code(world.keys.delete, world.local(demo.tenant.id), first) == "done"


class TestCompiled:
    """For the gate, in the snapshot."""

    def of(self, world: World, credential: str) -> list[tuple[str, RateLimit]]:
        return [(one.source, one.limit) for one in world.proven(credential).principal.buckets]

    def test_a_key_has_its_own_limits_and_those_of_its_roles(self, world: World, admin: Actor) -> None:
        slow = role(world, admin, "slow", MINUTE)
        key = world.key(admin, role(world, admin, "fast"), slow, rate_limits=(DAY,))
        assert self.of(world, key.key) == [("key", DAY), ("role:slow", MINUTE)]
        world.roles.update(admin, slow, RoleDraft(name="slow", rate_limits=(RateLimit(1, 1),)))
        assert self.of(world, key.key) == [("key", DAY), ("role:slow", RateLimit(1, 1))]
        world.keys.set_roles(admin, key.view.id, ())
        world.keys.update(admin, key.view.id, KeyChanges(rate_limits=()))
        assert self.of(world, key.key) == []

    def test_a_token_counts_against_its_key(self, world: World, admin: Actor) -> None:
        world.begin_tokens()
        key = world.key(admin, role(world, admin, "slow", MINUTE), rate_limits=(DAY,))
        token = world.token(key.key, READ)
        assert world.proven(token).principal.buckets == world.proven(key.key).principal.buckets != ()

    def test_a_user_has_buckets_of_his_own_by_the_limits_of_his_roles(self, world: World, admin: Actor) -> None:
        world.begin_tokens()
        issuer = world.issuer()
        world.trust(admin, issuer, READ)
        slow = role(world, admin, "slow", MINUTE)
        ann, bob = (issuer.token(sub=name, roles=["slow"]) for name in ("ann", "bob"))
        assert self.of(world, ann) == self.of(world, bob) == [("role:slow", MINUTE)]
        ids = [world.proven(one).principal.buckets[0].id for one in (ann, bob)]
        assert ids[0] != ids[1]
        world.roles.update(admin, slow, RoleDraft(name="slow", rate_limits=(DAY,)))
        assert self.of(world, ann) == [("role:slow", DAY)]
        assert self.of(world, issuer.token(sub="ann")) == []

    def test_an_exchanged_token_counts_for_its_user_and_for_the_key(self, world: World, admin: Actor) -> None:
        world.begin_tokens()
        issuer = world.issuer()
        world.trust(admin, issuer, READ)
        role(world, admin, "slow", MINUTE)
        key = world.key(admin, role(world, admin, "fast"), rate_limits=(DAY,))
        subject = issuer.token(sub="ann", roles=["slow"])
        found = world.proven(world.exchanged(key.key, subject)).principal.buckets
        users, keys = (world.proven(one).principal.buckets for one in (subject, key.key))
        assert found == keys + users
