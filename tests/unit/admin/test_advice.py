"""What keys and roles have too much: known requests in a real ledger, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.support.directory import SERVED, START, World
from tests.support.observed import DAY, Observed

from hatchpay.access.permission import CONTROL_PERMISSIONS
from hatchpay.admin.advice_views import (
    HolderUse,
    OnlyUser,
    PermissionUse,
    ProposedRole,
    SmallestRole,
    UserUse,
)
from hatchpay.admin.views import Actor, KeyChanges, NewKey, Onboarded
from hatchpay.clock import format_time
from hatchpay.errors import AuditUnavailable, InvalidInput, NotFound
from hatchpay.identity.principal import RateLimit
from hatchpay.ids import new_id

READ = "shop.orders.read"
CREATE = "shop.orders.create"
CUSTOMERS = "shop.customers.read"
ROLES = "access.roles.read"
LISTED = "access.permissions.read"
EVERYTHING = [permission.name for permission in (*CONTROL_PERMISSIONS, *SERVED)]
AGE = 100


@pytest.fixture
def scene(world: World, demo: Onboarded, tmp_path: Path) -> Iterator[Observed]:
    """Of a tenant that has been there for a hundred days, as have its keys."""
    observed = Observed(world, demo.tenant.id, tmp_path)
    world.clock.now = START + AGE * DAY
    observed.begin(AGE)
    world.clock.now = START
    yield observed
    observed.close()


def later(scene: Observed) -> None:
    scene.world.clock.now = START + AGE * DAY


def ago(days: float) -> str:
    return format_time(START + AGE * DAY - int(days * DAY))


def codes(advice: object) -> list[str]:
    return [finding.code for finding in advice.findings]  # type: ignore[attr-defined]


class TestOfAKey:
    def test_what_was_used_is_told_with_count_and_first_and_last_use(self, scene: Observed, admin: Actor) -> None:
        role = scene.world.role(admin, "shop", READ, CREATE, CUSTOMERS)
        key = scene.world.key(admin, role.id).view
        later(scene)
        scene.use(key.id, READ, 3, 29, 2)
        scene.use(key.id, CREATE, 7.5)
        advice = scene.advice.of_key(admin, key.id)
        assert advice.used == (
            PermissionUse(CREATE, 1, ago(7.5), ago(7.5)),
            PermissionUse(READ, 3, ago(29), ago(2)),
        )
        assert advice.held == (CUSTOMERS, CREATE, READ)
        assert advice.unused == (CUSTOMERS,)
        assert advice.requests == 4
        assert (advice.days, advice.observed_days) == (30, 30)
        assert advice.last_used_at == ago(2)

    def test_only_the_days_that_were_asked_for_count(self, scene: Observed, admin: Actor) -> None:
        key = scene.world.key(admin, scene.world.role(admin, "shop", READ).id).view
        later(scene)
        scene.use(key.id, READ, 31, 30, 6.99, 7.01)
        assert [scene.advice.of_key(admin, key.id, days).requests for days in (7, 30, 31, 365)] == [1, 3, 4, 4]

    def test_what_was_denied_or_needed_no_permission_is_no_use(self, scene: Observed, admin: Actor) -> None:
        key = scene.world.key(admin, scene.world.role(admin, "shop", READ).id).view
        later(scene)
        scene.use(key.id, READ, 1, decision="deny", reason="business_unit_missing")
        scene.write(START + 99 * DAY, None, key_id=key.id, rule="route:open")
        scene.write(START + 99 * DAY, READ, claimed_key_id=key.id, decision="deny")
        advice = scene.advice.of_key(admin, key.id)
        assert (advice.used, advice.unused, advice.requests) == ((), (READ,), 0)

    def test_a_token_uses_its_key_whoever_it_names(self, scene: Observed, admin: Actor) -> None:
        key = scene.world.key(admin, scene.world.role(admin, "shop", READ, CREATE).id).view
        later(scene)
        scene.use(key.id, READ, 1, token_id=new_id())
        scene.use(key.id, CREATE, 1, token_id=new_id(), issuer_id=new_id(), rule="claim:permissions")
        assert scene.advice.of_key(admin, key.id).unused == ()

    def test_what_the_key_no_longer_holds_is_left_out(self, scene: Observed, admin: Actor) -> None:
        key = scene.world.key(admin, scene.world.role(admin, "shop", READ).id).view
        later(scene)
        scene.use(key.id, CREATE, 1, 2)
        scene.use(key.id, READ, 1)
        advice = scene.advice.of_key(admin, key.id)
        assert [use.permission for use in advice.used] == [READ]
        assert advice.requests == 1

    def test_inspecting_tokens_counts_though_the_route_asks_for_no_permission(
        self, scene: Observed, admin: Actor
    ) -> None:
        role = scene.world.role(admin, "inspector", "auth.tokens.read", "auth.tokens.revoke")
        key = scene.world.key(admin, role.id).view
        later(scene)
        fields = {"key_id": key.id, "rule": "route:self_authenticating"}
        scene.write(START + 99 * DAY, None, route="/v1/auth/introspect", **fields)
        scene.write(START + 99 * DAY, None, route="/v1/auth/token", **fields)
        advice = scene.advice.of_key(admin, key.id)
        assert advice.unused == ("auth.tokens.revoke",)

    def test_what_no_other_key_used_is_told(self, scene: Observed, admin: Actor) -> None:
        role = scene.world.role(admin, "shop", READ, CREATE)
        key, other = (scene.world.key(admin, role.id).view for _ in range(2))
        later(scene)
        scene.use(key.id, READ, 1)
        scene.use(key.id, CREATE, 1)
        scene.use(other.id, READ, 5)
        assert scene.advice.of_key(admin, key.id).used_by_this_key_only == (CREATE,)
        assert scene.advice.of_key(admin, other.id).used_by_this_key_only == ()

    def test_what_no_request_asked_for_is_told_apart_from_what_was_not_used(
        self, scene: Observed, admin: Actor
    ) -> None:
        key = scene.world.key(admin, scene.world.role(admin, "shop", READ, CREATE, CUSTOMERS, ROLES).id).view
        later(scene)
        scene.use(key.id, READ, 1)
        scene.write(START + 99 * DAY, CREATE, decision="deny")
        advice = scene.advice.of_key(admin, key.id)
        assert advice.unused == (ROLES, CUSTOMERS, CREATE)
        assert advice.unseen == (CUSTOMERS,)
        assert codes(advice) == ["permissions_unused", "key_without_owner", "permissions_unseen"]


class TestRoles:
    def test_the_smallest_role_is_the_one_with_the_fewest_permissions_that_covers_it(
        self, scene: Observed, admin: Actor
    ) -> None:
        world = scene.world
        scene.world.role(admin, "too small", READ)
        middle = world.role(admin, "middle", READ, CREATE, ROLES)
        world.role(admin, "bigger", READ, CREATE, ROLES, CUSTOMERS)
        key = world.key(admin, world.role_id(admin, "admin")).view
        later(scene)
        scene.use(key.id, READ, 1)
        scene.use(key.id, CREATE, 1)
        advice = scene.advice.of_key(admin, key.id)
        assert advice.smallest_role == SmallestRole(middle.id, "middle", 1)
        assert advice.proposed_role == ProposedRole("some key (least privilege)", (CREATE, READ))

    def test_where_a_role_fits_exactly_none_is_proposed(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        till = world.role(admin, "till", READ, CREATE)
        key = world.key(admin, world.role_id(admin, "admin")).view
        later(scene)
        scene.use(key.id, READ, 1)
        scene.use(key.id, CREATE, 1)
        advice = scene.advice.of_key(admin, key.id)
        assert (advice.smallest_role, advice.proposed_role) == (SmallestRole(till.id, "till", 0), None)

    def test_a_role_that_would_give_more_than_is_held_is_no_answer(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        world.role(admin, "other", READ, CUSTOMERS)
        mine = world.role(admin, "mine", READ, CREATE, ROLES)
        key = world.key(admin, mine.id).view
        later(scene)
        scene.use(key.id, READ, 1)
        assert scene.advice.of_key(admin, key.id).smallest_role == SmallestRole(mine.id, "mine", 2)

    def test_a_role_without_the_rate_limits_of_those_held_is_no_answer(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        world.role(admin, "unlimited", READ)
        mine = world.role(admin, "mine", READ, CREATE)
        with world.directory.transaction() as transaction:
            row = transaction.role(scene.tenant_id, mine.id)
            assert row is not None
            transaction.save_role(msgspec.structs.replace(row, rate_limits=(RateLimit(10, 60),)))
        key = world.key(admin, mine.id).view
        later(scene)
        scene.use(key.id, READ, 1)
        advice = scene.advice.of_key(admin, key.id)
        assert advice.smallest_role == SmallestRole(mine.id, "mine", 1)
        assert advice.proposed_role is not None

    def test_where_nothing_was_used_or_all_of_it_nothing_is_proposed(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        both = world.key(admin, world.role(admin, "a", READ).id, world.role(admin, "b", CREATE).id).view
        idle = world.key(admin, world.role(admin, "c", READ, CREATE, ROLES).id).view
        later(scene)
        scene.use(both.id, READ, 1)
        scene.use(both.id, CREATE, 1)
        advice = scene.advice.of_key(admin, idle.id)
        assert (advice.smallest_role, advice.proposed_role) == (None, None)
        advice = scene.advice.of_key(admin, both.id)
        assert (advice.unused, advice.proposed_role) == ((), None)

    def test_a_proposed_name_is_free_and_not_too_long(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        key = world.keys.create(admin, NewKey(name="k" * 120)).view
        world.keys.set_roles(admin, key.id, (world.role_id(admin, "admin"),))
        taken = "k" * (120 - len(" (least privilege)")) + " (least privilege)"
        world.role(admin, taken, ROLES)
        later(scene)
        scene.use(key.id, READ, 1)
        proposed = scene.advice.of_key(admin, key.id).proposed_role
        assert proposed is not None
        assert proposed.name == "k" * (120 - len(" (least privilege 2)")) + " (least privilege 2)"


class TestConfidence:
    @pytest.mark.parametrize(
        ("days", "age", "requests", "confidence"),
        [
            (30, 100, 20, "high"),
            (30, 30, 20, "high"),
            (30, 29, 20, "medium"),
            (30, 7, 20, "medium"),
            (30, 6, 20, "low"),
            (30, 0, 20, "low"),
            (29, 100, 20, "medium"),
            (7, 100, 20, "medium"),
            (6, 100, 20, "low"),
            (30, 100, 19, "low"),
            (30, 100, 1, "low"),
            (30, 100, 0, "high"),
        ],
    )
    def test_it_follows_from_the_length_of_the_observation_and_from_the_requests(
        self, scene: Observed, admin: Actor, days: int, age: int, requests: int, confidence: str
    ) -> None:
        scene.world.clock.now = START + (AGE - age) * DAY
        key = scene.world.key(admin, scene.world.role(admin, "shop", READ).id).view
        later(scene)
        scene.use_often(key.id, READ, requests, 0.001)
        advice = scene.advice.of_key(admin, key.id, days)
        assert advice.confidence == confidence
        assert advice.observed_days == min(days, age)

    def test_a_record_that_began_lately_makes_it_short(self, world: World, admin: Actor, tmp_path: Path) -> None:
        scene = Observed(world, admin.principal.tenant_id, tmp_path)
        key = world.key(admin, world.role(admin, "shop", READ).id).view
        later(scene)
        assert scene.advice.of_key(admin, key.id).observed_days == 0
        scene.begin(10)
        scene.use_often(key.id, READ, 30, 3)
        advice = scene.advice.of_key(admin, key.id)
        assert (advice.observed_days, advice.confidence) == (10, "medium")
        scene.close()


class TestFindings:
    def test_a_key_that_nobody_used(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        idle = world.keys.create(admin, NewKey(name="idle", owner="ann")).view
        world.keys.set_roles(admin, idle.id, (world.role(admin, "shop", READ).id,))
        later(scene)
        scene.use(idle.id, READ, 31)
        assert codes(scene.advice.of_key(admin, idle.id)) == ["key_unused"]
        assert codes(scene.advice.of_key(admin, idle.id, 32)) == []

    def test_a_key_that_was_refused_all_it_tried_is_not_unused(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        key = world.key(admin, world.role(admin, "shop", READ).id, owner="ann").view
        later(scene)
        scene.use(key.id, CREATE, 1, decision="deny", reason="permission_missing")
        assert codes(scene.advice.of_key(admin, key.id)) == ["permissions_unused"]

    def test_an_admin_key_that_only_reads(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        key = world.key(admin, world.role_id(admin, "admin"), owner="ann").view
        later(scene)
        scene.use(key.id, CUSTOMERS, 1)
        scene.use(key.id, ROLES, 1)
        assert codes(scene.advice.of_key(admin, key.id))[:2] == ["admin_only_reads", "permissions_unused"]
        scene.use(key.id, CREATE, 1)
        assert "admin_only_reads" not in codes(scene.advice.of_key(admin, key.id))

    def test_an_admin_key_that_nobody_used(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        key = world.key(admin, world.role_id(admin, "admin")).view
        later(scene)
        expected = ["admin_unused", "key_unused", "key_without_owner"]
        assert codes(scene.advice.of_key(admin, key.id)) == expected

    def test_whoever_gave_access_is_told_to_think_of_what_was_given(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        key = world.key(admin, world.role_id(admin, "admin"), owner="ann").view
        later(scene)
        scene.use(key.id, "api-key.key-roles.update", 1)
        assert "grants_to_others" in codes(scene.advice.of_key(admin, key.id))

    def test_a_key_that_uses_all_it_holds_and_has_an_owner_has_none(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        key = world.key(admin, world.role(admin, "shop", READ).id, owner="ann").view
        later(scene)
        scene.use(key.id, READ, 1)
        assert codes(scene.advice.of_key(admin, key.id)) == []


class TestOfARole:
    def test_all_its_holders_count_together(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        role = world.role(admin, "shop", READ, CREATE, CUSTOMERS, ROLES, LISTED)
        first, second, idle = (world.key(admin, role.id).view for _ in range(3))
        elsewhere = world.key(admin, world.role_id(admin, "admin")).view
        later(scene)
        scene.use(first.id, READ, 5, 4)
        scene.use(second.id, READ, 3)
        scene.use(second.id, CREATE, 2)
        scene.use(first.id, LISTED, 9)
        scene.use(second.id, LISTED, 10)
        scene.use(elsewhere.id, CUSTOMERS, 1)
        advice = scene.advice.of_role(admin, role.id)
        assert advice.used == (
            PermissionUse(LISTED, 2, ago(10), ago(9)),
            PermissionUse(CREATE, 1, ago(2), ago(2)),
            PermissionUse(READ, 3, ago(5), ago(3)),
        )
        assert advice.unused == (ROLES, CUSTOMERS)
        assert advice.used_by_one_key_only == (OnlyUser(CREATE, second.id, "some key"),)
        assert advice.proposed_role == ProposedRole("shop", (LISTED, CREATE, READ))
        assert advice.smallest_role is None
        assert advice.key_count == 3
        assert set(advice.keys) == {
            HolderUse(first.id, "some key", 2, 3, ago(4)),
            HolderUse(second.id, "some key", 3, 3, ago(2)),
            HolderUse(idle.id, "some key", 0, 0, None),
        }
        assert (advice.requests, advice.users) == (6, None)
        assert codes(advice) == ["permissions_unused"]

    def test_users_of_trusted_issuers_count_by_the_names_of_their_roles(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        role = world.role(admin, "shop", READ, CREATE, CUSTOMERS)
        key = world.key(admin, role.id).view
        later(scene)
        scene.use(key.id, CREATE, 1)
        user = {"principal_id": "user:ann", "issuer_id": new_id()}
        at = START + (AGE - 2) * DAY
        scene.write(at, CREATE, roles=("shop", "other"), **user)
        scene.write(at, READ, roles=("shop",), **user)
        scene.write(at, CUSTOMERS, roles=("other",), **user)
        scene.write(at, ROLES, roles=("shop",), rule="claim:permissions", **user)
        advice = scene.advice.of_role(admin, role.id)
        assert advice.users == UserUse(2, 2, ago(2))
        assert advice.unused == (CUSTOMERS,)
        assert advice.used_by_one_key_only == ()

    def test_of_a_built_in_role_it_says_which_role_would_do(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        viewer = world.role_id(admin, "viewer")
        key = world.key(admin, viewer).view
        later(scene)
        scene.use(key.id, READ, 1)
        advice = scene.advice.of_role(admin, viewer)
        assert advice.builtin
        assert advice.proposed_role == ProposedRole("viewer (least privilege)", (READ,))
        only = world.role(admin, "readers", READ)
        advice = scene.advice.of_role(admin, viewer)
        assert (advice.smallest_role, advice.proposed_role) == (SmallestRole(only.id, "readers", 0), None)

    def test_a_role_that_nobody_holds_or_uses(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        role = world.role(admin, "shop", ROLES)
        later(scene)
        advice = scene.advice.of_role(admin, role.id)
        assert (codes(advice), advice.proposed_role, advice.keys) == (["role_unheld"], None, ())
        world.key(admin, role.id)
        assert codes(scene.advice.of_role(admin, role.id)) == ["role_unused"]


class TestOfAll:
    def test_keys_with_findings_are_listed_the_gravest_first(
        self, scene: Observed, admin: Actor, demo: Onboarded
    ) -> None:
        world = scene.world
        everything, shop = world.role_id(admin, "admin"), world.role(admin, "shop", READ, CREATE).id
        fine = world.key(admin, shop, name="fine", owner="ann").view
        nobodys = world.key(admin, shop, name="nobody's").view
        wide = world.key(admin, shop, name="wide", owner="ann").view
        idle = world.key(admin, shop, name="idle", owner="ann").view
        reads = world.key(admin, everything, name="reads", owner="ann").view
        world.keys.update(admin, demo.api_key.view.id, KeyChanges(owner="ann"))
        later(scene)
        for key_id, permissions in {
            demo.api_key.view.id: EVERYTHING,
            fine.id: [READ, CREATE],
            nobodys.id: [READ, CREATE],
            wide.id: [READ],
            reads.id: [READ, CUSTOMERS],
        }.items():
            for permission in permissions:
                scene.use(key_id, permission, 1)
        advice = scene.advice.of_all(admin)
        assert [(line.name, codes(line)[0]) for line in advice.data] == [
            ("reads", "admin_only_reads"),
            ("idle", "key_unused"),
            ("wide", "permissions_unused"),
            ("nobody's", "key_without_owner"),
        ]
        assert (advice.key_count, advice.with_findings, advice.days) == (6, 4, 30)
        idle_line = advice.data[1]
        assert (idle_line.key_id, idle_line.held, idle_line.used, idle_line.unused) == (idle.id, 2, 0, 2)


class TestWhoSeesWhat:
    def test_another_tenants_keys_roles_and_records_are_not_there(
        self, scene: Observed, admin: Actor, stranger: Actor
    ) -> None:
        role = scene.world.role(admin, "shop", READ)
        key = scene.world.key(admin, role.id).view
        later(scene)
        scene.use(key.id, READ, 1)
        for call in (
            lambda: scene.advice.of_key(stranger, key.id),
            lambda: scene.advice.of_role(stranger, role.id),
            lambda: scene.advice.of_key(admin, new_id()),
            lambda: scene.advice.of_role(admin, new_id()),
        ):
            with pytest.raises(NotFound):
                call()
        assert scene.advice.of_all(stranger).key_count == 1

    def test_a_caller_of_chosen_units_sees_their_keys_and_records_only(self, scene: Observed, admin: Actor) -> None:
        world = scene.world
        here, there = (world.units.create(admin, name, "UTC").id for name in ("here", "there"))
        role = world.role(admin, "shop", READ, CREATE, CUSTOMERS, ROLES)
        mine = world.key(admin, role.id, business_unit_ids=(here,)).view
        others = world.key(admin, role.id, business_unit_ids=(there,)).view
        whole = world.key(admin, role.id).view
        manager = world.key(admin, world.role_id(admin, "admin"), business_unit_ids=(here,))
        later(scene)
        scene.use(mine.id, READ, 1, business_unit_id=here)
        scene.use(mine.id, ROLES, 1)
        scene.use(mine.id, CREATE, 1, business_unit_id=there)
        scene.use(others.id, CUSTOMERS, 1, business_unit_id=there)
        scene.use(whole.id, CUSTOMERS, 1)
        scene.use(whole.id, ROLES, 1)
        scene.use(whole.id, READ, 2, business_unit_id=here)
        caller = world.caller(manager.key)
        of_key = scene.advice.of_key(caller, mine.id)
        assert [use.permission for use in of_key.used] == [ROLES, READ]
        assert of_key.used_by_this_key_only == (ROLES,)
        for hidden in (others.id, whole.id):
            with pytest.raises(NotFound):
                scene.advice.of_key(caller, hidden)
        of_role = scene.advice.of_role(caller, role.id)
        assert [one.key_id for one in of_role.keys] == [mine.id]
        assert of_role.unused == (CUSTOMERS, CREATE)
        assert {line.key_id for line in scene.advice.of_all(caller).data} == {mine.id, manager.view.id}

    @pytest.mark.parametrize("days", [0, -1, 366])
    def test_days_are_bounded(self, scene: Observed, admin: Actor, days: int) -> None:
        with pytest.raises(InvalidInput) as caught:
            scene.advice.of_all(admin, days)
        assert caught.value.field == "days"

    def test_without_the_record_there_is_no_advice(self, scene: Observed, admin: Actor, tmp_path: Path) -> None:
        scene.close()
        (tmp_path / "ledger.db").unlink()
        with pytest.raises(AuditUnavailable):
            scene.advice.of_all(admin)
