"""A change of access, tried on what a real ledger holds. Nothing is changed by it, and no more seen than may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.directory import HOUR, START, World, fresh_directory
from tests.support.vaults import vault_beside

from hatchpay.access.decision import Decision
from hatchpay.access.replay import Standing
from hatchpay.access.routes import Route, RouteTable, UnitSource
from hatchpay.access.rules import Asked, Rules
from hatchpay.admin.rehearsal_views import Change, KeyRoles, PolicyText, RehearsalView, RolePermissions
from hatchpay.admin.rehearse import DEFAULT_SPAN_US, Rehearsals
from hatchpay.admin.views import Actor, CreatedKey
from hatchpay.audit.record import Completion, Record
from hatchpay.errors import AuditUnavailable, Conflict, Forbidden, HatchPayError, InvalidInput
from hatchpay.identity.principal import Limits, RateLimit
from hatchpay.ids import new_id
from hatchpay.store.ledger import Ledger, create_ledger
from hatchpay.store.replay import LedgerReplay

READ, WRITE = "shop.orders.read", "shop.orders.create"
TABLE = RouteTable(
    [
        Route(method="GET", template="/orders", permission=READ, unit=(UnitSource("handler"),)),
        Route(method="POST", template="/orders", permission=WRITE, unit=(UnitSource("body", "unit"),)),
    ]
)


class Forbidding:
    """Stands in for compiled policies: the text is the permission that they forbid."""

    def __init__(self, permission: str) -> None:
        self.permission = permission

    def concern(self, permission: str) -> bool:
        return permission == self.permission

    def judge(self, asked: Asked) -> Decision | None:
        return Decision("deny", "policy_forbids", "policy:x")


def with_policy(rules: Rules, tenant_id: str, name: str, text: str) -> Rules:
    if not text:
        raise InvalidInput("a policy needs a text", field="text")
    return msgspec.structs.replace(rules, policies={**rules.policies, tenant_id: Forbidding(text)})


class Shop:
    """A tenant with a clerk, whose role "clerk" reads, and a ledger of what happened."""

    def __init__(self, path: Path) -> None:
        self.world = World(fresh_directory())
        demo = self.world.onboard()
        self.tenant_id = demo.tenant.id
        self.admin = self.world.admin(demo)
        self.path = path
        self.ledger = Ledger(path, "test", vault_beside(path))
        create_ledger(path)
        self.role_id = self.world.role(self.admin, "clerk", READ).id
        self.clerk = self.world.key(self.admin, self.role_id)

    def record(self, key: CreatedKey, method: str = "GET", **fields: Any) -> str:
        """An allowed request of `key`, an hour ago; its id."""
        values: dict[str, Any] = {
            "principal_id": key.view.id,
            "key_id": key.view.id,
            "decision": "allow",
            "reason": "role_grants",
            "rule": "role:clerk",
            "route": "/orders",
            "permission": READ if method == "GET" else WRITE,
            "roles": ("clerk",),
            "started_us": START - HOUR,
            "tenant_id": self.tenant_id,
        }
        record = Record(request_id=new_id(), method=method, url="/orders", **(values | fields))
        self.ledger.write([Completion(record)])
        return record.request_id

    def refused(self, key: CreatedKey, method: str = "GET", **fields: Any) -> str:
        missing = READ if method == "GET" else WRITE
        values = {"decision": "deny", "reason": "permission_missing", "rule": None, "missing": missing}
        return self.record(key, method, **(values | fields))

    @property
    def rehearsals(self) -> Rehearsals:
        self.world.snapshots.refresh()
        return Rehearsals(
            self.world.directory,
            LedgerReplay(self.path, vault_beside(self.path)),
            lambda: Standing(self.world.snapshots.current, self.world.snapshots.rules),
            TABLE,
            self.world.clock,
            with_policy=with_policy,
        )

    def rehearse(self, change: Change, *span: int | None, actor: Actor | None = None) -> RehearsalView:
        rehearsal = self.rehearsals.prepare(actor or self.admin, change, *span)
        assert (rehearsal.done, rehearsal.total) == (0, 0)
        for _ in rehearsal.steps():
            assert 0 < rehearsal.done <= rehearsal.total
        return rehearsal.result()

    def refusal(self, change: Change, actor: Actor | None = None) -> tuple[type[HatchPayError], str, str | None]:
        with pytest.raises(HatchPayError) as refused:
            self.rehearsals.prepare(actor or self.admin, change)
        return type(refused.value), refused.value.code, refused.value.field


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "audit.db")
    yield shop
    shop.ledger.close()
    shop.world.close()


def samples(result: RehearsalView) -> tuple[list[str], list[str]]:
    """The ids of the requests that would be denied, and of those that would be allowed."""
    denied, allowed = (
        [one for group in part.groups for one in group.samples] for part in (result.denied, result.allowed)
    )
    return denied, allowed


class TestRolesOfAKey:
    def test_without_its_role_what_it_did_is_denied(self, shop: Shop) -> None:
        used, _ = shop.record(shop.clerk), shop.refused(shop.clerk, "POST")
        other = shop.world.key(shop.admin, shop.role_id)
        shop.record(other)

        result = shop.rehearse(KeyRoles(shop.clerk.view.id, ()))

        assert samples(result) == ([used], [])
        assert (result.requests, result.skipped, result.undecided) == (3, {}, 0)
        (group,) = result.denied.groups
        assert (group.principal_id, group.key_id, group.name) == (shop.clerk.view.id, shop.clerk.view.id, "some key")
        assert (group.method, group.route, group.permission) == ("GET", "/orders", READ)
        assert (group.count, group.reason, group.missing) == (1, "permission_missing", READ)
        assert group.first_at == group.last_at == "2026-09-21T13:13:20.000000Z"

    def test_with_one_more_what_it_was_refused_is_allowed(self, shop: Shop) -> None:
        shop.record(shop.clerk)
        refused = shop.refused(shop.clerk, "POST")
        writer = shop.world.role(shop.admin, "writer", WRITE).id
        assert samples(shop.rehearse(KeyRoles(shop.clerk.view.id, (shop.role_id, writer)))) == ([], [refused])

    def test_another_role_that_holds_the_same_changes_nothing(self, shop: Shop) -> None:
        shop.record(shop.clerk)
        reader = shop.world.role(shop.admin, "reader", READ).id
        assert samples(shop.rehearse(KeyRoles(shop.clerk.view.id, (reader,)))) == ([], [])

    def test_a_change_that_could_not_be_made_names_what_is_wrong_with_it(self, shop: Shop) -> None:
        key_id, role_id, nothing = shop.clerk.view.id, shop.role_id, new_id()
        rival = shop.world.onboard("Rival")
        deleted = shop.world.key(shop.admin)
        shop.world.keys.delete(shop.admin, deleted.view.id)
        for change, code, field in (
            (KeyRoles("7", ()), "invalid_uuid", "key_id"),
            (KeyRoles(key_id, ("7",)), "invalid_uuid", "role_ids"),
            (KeyRoles(key_id, (role_id, role_id)), "duplicate_role", "role_ids"),
            (KeyRoles(key_id, (nothing,)), "unknown_role", "role_ids"),
            (KeyRoles(key_id, tuple(new_id() for _ in range(201))), "invalid_field", "role_ids"),
            (KeyRoles(nothing, ()), "unknown_key", "key_id"),
            (KeyRoles(rival.api_key.view.id, ()), "unknown_key", "key_id"),
            (KeyRoles(deleted.view.id, ()), "unknown_key", "key_id"),
        ):
            assert shop.refusal(change) == (InvalidInput, code, f"change.{field}")


class TestPermissionsOfARole:
    def test_they_concern_every_key_that_holds_it(self, shop: Shop) -> None:
        second = shop.world.key(shop.admin, shop.role_id)
        without = shop.world.key(shop.admin)
        used = [shop.record(shop.clerk), shop.record(second)]
        refused = [shop.refused(shop.clerk, "POST"), shop.refused(second, "POST")]
        shop.refused(without, "POST")
        denied, allowed = samples(shop.rehearse(RolePermissions(shop.role_id, (WRITE,))))
        assert (sorted(denied), sorted(allowed)) == (sorted(used), sorted(refused))

    def test_a_key_with_another_role_that_holds_the_permission_keeps_it(self, shop: Shop) -> None:
        reader = shop.world.role(shop.admin, "reader", READ).id
        shop.record(shop.world.key(shop.admin, shop.role_id, reader))
        assert samples(shop.rehearse(RolePermissions(shop.role_id, ()))) == ([], [])

    def test_they_concern_users_who_hold_it_by_name(self, shop: Shop) -> None:
        trusted = shop.world.trust(shop.admin, shop.world.issuer(), READ, WRITE)
        user = {"principal_id": "user:ada", "key_id": None, "issuer_id": trusted.id}
        used = shop.record(shop.clerk, **user)
        shop.record(shop.clerk, **(user | {"roles": ("other",)}))
        result = shop.rehearse(RolePermissions(shop.role_id, ()))
        assert samples(result) == ([used], [])
        assert (result.denied.groups[0].principal_id, result.denied.groups[0].name) == ("user:ada", None)

    def test_a_change_that_could_not_be_made_names_what_is_wrong_with_it(self, shop: Shop) -> None:
        viewer = shop.world.role_id(shop.admin, "viewer")
        rival = shop.world.admin(shop.world.onboard("Rival"))
        theirs = shop.world.role(rival, "clerk", READ).id
        platforms = ("platform.tenants.read",)
        for change, error, code, field in (
            (RolePermissions("7", ()), InvalidInput, "invalid_uuid", "role_id"),
            (RolePermissions(new_id(), ()), InvalidInput, "unknown_role", "role_id"),
            (RolePermissions(theirs, ()), InvalidInput, "unknown_role", "role_id"),
            (RolePermissions(viewer, ()), Conflict, "builtin_role", "role_id"),
            (RolePermissions(shop.role_id, ("a.b.c",)), InvalidInput, "unknown_permission", "permissions"),
            (
                RolePermissions(shop.role_id, platforms),
                InvalidInput,
                "unknown_permission",
                "permissions",
            ),
            (RolePermissions(shop.role_id, (READ, READ)), InvalidInput, "duplicate_permission", "permissions"),
        ):
            assert shop.refusal(change) == (error, code, f"change.{field}")


class TestPolicies:
    def test_what_a_policy_would_forbid_is_denied(self, shop: Shop) -> None:
        used = shop.record(shop.clerk)
        result = shop.rehearse(PolicyText("no reading", READ))
        assert samples(result) == ([used], [])
        assert (result.denied.groups[0].reason, result.denied.groups[0].missing) == ("policy_forbids", None)
        assert samples(shop.rehearse(PolicyText("no writing", WRITE))) == ([], [])

    def test_a_policy_that_could_not_be_made_names_what_is_wrong_with_it(self, shop: Shop) -> None:
        assert shop.refusal(PolicyText("x", "")) == (InvalidInput, "invalid_field", "change.policy.text")
        assert shop.refusal(PolicyText(" ", READ)) == (InvalidInput, "invalid_field", "change.policy.name")

    @pytest.mark.parametrize("lacking", ["a permission", "the whole tenant", "every network", "a free rate"])
    def test_whoever_could_not_write_it_may_not_rehearse_it_either(self, shop: Shop, lacking: str) -> None:
        """Its outcome would tell what recorded bodies hold."""
        world, admin = shop.world, shop.admin
        limits: dict[str, dict[str, object]] = {
            "the whole tenant": {"business_unit_ids": (world.units.create(admin, "Zurich", "UTC").id,)},
            "every network": {"allowed_cidrs": ("10.0.0.0/8",)},
            "a free rate": {"rate_limits": (RateLimit(1, 1),)},
        }
        held = [one.name for one in world.permissions.list(admin, 200).data]
        role = world.role(admin, "Nearly all", *(held[1:] if lacking == "a permission" else held))
        caller = world.actor(world.key(admin, role.id, **limits.get(lacking, {})), shop.tenant_id)
        assert shop.refusal(PolicyText("x", READ), caller)[:2] == (Forbidden, "grant_exceeds_caller")
        shop.rehearsals.prepare(caller, RolePermissions(shop.role_id, ()))
        whole = world.role(admin, "All", *held)
        shop.rehearsals.prepare(world.actor(world.key(admin, whole.id), shop.tenant_id), PolicyText("x", READ))

    def test_where_there_are_no_policies_they_cannot_be_rehearsed(self, shop: Shop) -> None:
        world = shop.world
        standing = Standing(world.snapshots.current, world.snapshots.rules)
        bare = Rehearsals(
            world.directory, LedgerReplay(shop.path, vault_beside(shop.path)), lambda: standing, TABLE, world.clock
        )
        with pytest.raises(InvalidInput) as refused:
            bare.prepare(shop.admin, PolicyText("x", READ))
        assert (refused.value.code, refused.value.field) == ("policies_unavailable", "change.policy")


class TestSpan:
    def test_it_is_the_last_thirty_days_where_nothing_is_said(self, shop: Shop) -> None:
        shop.record(shop.clerk, started_us=START - DEFAULT_SPAN_US - 1)
        within = [
            shop.record(shop.clerk, started_us=START - DEFAULT_SPAN_US),
            shop.record(shop.clerk, started_us=START - 1),
        ]
        shop.record(shop.clerk, started_us=START)
        result = shop.rehearse(KeyRoles(shop.clerk.view.id, ()))
        assert samples(result) == (within, [])
        assert (result.from_, result.to) == ("2026-08-22T14:13:20.000000Z", "2026-09-21T14:13:20.000000Z")

    def test_it_begins_with_from_and_ends_before_to(self, shop: Shop) -> None:
        ids = [shop.record(shop.clerk, started_us=START + number) for number in range(4)]
        change = KeyRoles(shop.clerk.view.id, ())
        assert samples(shop.rehearse(change, START + 1, START + 3)) == (ids[1:3], [])
        assert samples(shop.rehearse(change, None, START + 2)) == (ids[:2], [])

    @pytest.mark.parametrize("span", [(START, START), (START + 1, START), (START + 1, None)])
    def test_an_empty_one_is_refused(self, shop: Shop, span: tuple[int, int | None]) -> None:
        with pytest.raises(InvalidInput) as refused:
            shop.rehearsals.prepare(shop.admin, KeyRoles(shop.clerk.view.id, ()), *span)
        assert refused.value.field == "from"


def test_other_tenants_requests_are_not_looked_at(shop: Shop) -> None:
    shop.record(shop.clerk, tenant_id=shop.world.onboard("Rival").tenant.id)
    assert shop.rehearse(KeyRoles(shop.clerk.view.id, ())).requests == 0


def test_a_caller_of_chosen_units_sees_and_counts_what_concerns_those_and_names_their_keys(shop: Shop) -> None:
    world, admin = shop.world, shop.admin
    berlin, paris = (world.units.create(admin, name, "UTC").id for name in ("Berlin", "Paris"))
    theirs = world.key(admin, shop.role_id, business_unit_ids=(berlin,))
    here = [shop.record(key, business_unit_id=berlin) for key in (shop.clerk, theirs)]
    shop.record(shop.clerk, business_unit_id=paris)
    shop.record(shop.clerk)
    limited = msgspec.structs.replace(admin.principal, limits=Limits(business_unit_ids=frozenset({berlin})))
    clerk = Actor(limited, new_id())

    rehearsal = shop.rehearsals.prepare(clerk, RolePermissions(shop.role_id, ()))
    for _ in rehearsal.steps():
        assert rehearsal.total == 2
    result = rehearsal.result()

    assert result.requests == 2
    assert sorted(samples(result)[0]) == sorted(here)
    names = {group.key_id: group.name for group in result.denied.groups}
    assert names == {shop.clerk.view.id: None, theirs.view.id: "some key"}
    refused = shop.refusal(KeyRoles(shop.clerk.view.id, ()), clerk)
    assert refused == (InvalidInput, "unknown_key", "change.key_id")


def test_nothing_is_changed_by_it(shop: Shop) -> None:
    world = shop.world
    shop.record(shop.clerk)
    world.snapshots.refresh()
    before = (world.directory.position(), len(world.changes()), world.snapshots.current)
    shop.rehearse(KeyRoles(shop.clerk.view.id, ()))
    shop.rehearse(RolePermissions(shop.role_id, ()))
    assert (world.directory.position(), len(world.changes()), world.snapshots.current) == before


def test_a_key_that_was_deleted_since_is_skipped_and_counted(shop: Shop) -> None:
    gone = shop.world.key(shop.admin, shop.role_id)
    shop.record(gone)
    used = shop.record(shop.clerk)
    shop.world.keys.delete(shop.admin, gone.view.id)
    result = shop.rehearse(RolePermissions(shop.role_id, ()))
    assert (samples(result), result.skipped) == (([used], []), {"key_deleted": 1})


def test_what_is_undecided_is_counted_with_its_reason(shop: Shop) -> None:
    shop.refused(shop.clerk, "POST", token_id="t")
    result = shop.rehearse(RolePermissions(shop.role_id, (READ, WRITE)))
    assert (result.undecided, result.undecided_because) == (1, {"token_scope_not_kept": 1})


def test_a_record_that_cannot_be_read_says_so(shop: Shop) -> None:
    rehearsal = shop.rehearsals.prepare(shop.admin, KeyRoles(shop.clerk.view.id, ()))
    shop.ledger.close()
    shop.path.unlink()
    with pytest.raises(AuditUnavailable):
        list(rehearsal.steps())
