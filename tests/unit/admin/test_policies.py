"""Policies: who may write them, what is kept of them, and whom they must not lock out."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec
import pytest
from tests.support.directory import HOUR, START, World

from hatchpay.admin.lockout import is_administrable
from hatchpay.admin.views import Actor, Onboarded, PolicyView
from hatchpay.errors import Conflict, Forbidden, HatchPayError, InvalidInput, NotFound
from hatchpay.identity.principal import TokenUse
from hatchpay.ids import new_id

EVERYBODY = "forbid(principal, action, resource);"
READING = 'forbid(principal, action == Action::"shop.orders.read", resource);'
INSIDE = 'forbid(principal, action, resource) unless { context.client_ip.isInRange(ip("10.0.0.0/8")) };'
MIB = 1024 * 1024
"""START is Monday 2026-09-21, 14:13:20 UTC."""


def calling(actor: Actor, client_ip: str | None = "10.0.0.1", **token: object) -> Actor:
    """The same caller, from there, with a token where it has any member."""
    principal = actor.principal
    if token:
        principal = msgspec.structs.replace(principal, token=TokenUse(id=None, secret_version=1, **token))  # type: ignore[arg-type]
    return Actor(principal, new_id(), client_ip)


def code(call: Callable[[], object], kind: type[HatchPayError] = Conflict) -> str:
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


def test_a_policy_is_made_read_replaced_and_deleted(world: World, admin: Actor) -> None:
    made = world.policies.create(admin, "No reading", READING)
    assert (made.name, made.text, made.created_at) == ("No reading", READING, made.updated_at)
    assert world.policies.get(admin, made.id) == made

    world.clock.now += HOUR
    changed = world.policies.update(admin, made.id, "Nobody reads", READING + " // at all")
    assert (changed.id, changed.name, changed.text) == (made.id, "Nobody reads", READING + " // at all")
    assert changed.updated_at > changed.created_at == made.created_at
    assert world.policies.list(admin).data == (changed,)

    world.policies.delete(admin, made.id)
    assert world.policies.list(admin).data == ()
    assert code(lambda: world.policies.get(admin, made.id), NotFound) == "not_found"


def test_the_list_has_pages_with_the_newest_first(world: World, admin: Actor) -> None:
    made = [world.policies.create(admin, f"P{number}", READING).id for number in range(3)]
    first = world.policies.list(admin, 2)
    second = world.policies.list(admin, 2, first.next_cursor)
    assert [policy.id for policy in (*first.data, *second.data)] == made[::-1]


def test_a_tenant_sees_and_changes_only_its_own(world: World, admin: Actor, stranger: Actor) -> None:
    made = world.policies.create(admin, "Ours", READING)
    calls: list[Callable[[], object]] = [
        lambda: world.policies.get(stranger, made.id),
        lambda: world.policies.update(stranger, made.id, "Theirs", READING),
        lambda: world.policies.delete(stranger, made.id),
    ]
    assert [code(call, NotFound) for call in calls] == ["not_found"] * 3
    assert world.policies.list(stranger).data == ()
    assert world.policies.create(stranger, "Ours", READING).name == "Ours"


def test_a_change_holds_at_once_and_ends_with_the_policy(world: World, demo: Onboarded, admin: Actor) -> None:
    def concerned() -> bool:
        world.snapshots.refresh()
        policies = world.snapshots.rules.policies.get(demo.tenant.id)
        return policies is not None and policies.concern("shop.orders.read")

    assert not concerned()
    made = world.policies.create(admin, "No reading", READING)
    assert concerned()
    world.policies.update(admin, made.id, "No reading", READING.replace("read", "create"))
    assert not concerned()
    world.policies.update(admin, made.id, "No reading", READING)
    assert concerned()
    world.policies.delete(admin, made.id)
    assert not concerned()


@pytest.mark.parametrize("lacking", ["a permission", "the whole tenant", "live data", "every network", "no end"])
def test_whoever_writes_must_hold_everything(world: World, admin: Actor, lacking: str) -> None:
    limits: dict[str, dict[str, object]] = {
        "the whole tenant": {"business_unit_ids": (world.units.create(admin, "Zurich", "Europe/Zurich").id,)},
        "live data": {"environment": "test"},
        "every network": {"allowed_cidrs": ("10.0.0.0/8",)},
        "no end": {"expires_at_us": START + HOUR},
    }
    held = [one.name for one in world.permissions.list(admin, 200).data]
    role = world.role(admin, "Nearly all", *(held[1:] if lacking == "a permission" else held))
    key = world.key(admin, role.id, **limits.get(lacking, {}))
    caller = world.actor(key, admin.principal.tenant_id)
    made = world.policies.create(admin, "One", READING)
    before = world.changes()

    calls: list[Callable[[], object]] = [
        lambda: world.policies.create(caller, "Two", READING),
        lambda: world.policies.update(caller, made.id, "Two", EVERYBODY),
        lambda: world.policies.delete(caller, made.id),
    ]
    assert [code(call, Forbidden) for call in calls] == ["grant_exceeds_caller"] * 3
    assert (world.policies.list(admin).data, world.changes()) == ((made,), before)


def test_each_write_needs_its_own_permission(world: World, admin: Actor) -> None:
    key = world.key(admin, world.role(admin, "Reader", "access.policies.read").id)
    caller = world.actor(key, admin.principal.tenant_id)
    made = world.policies.create(admin, "One", READING)
    assert world.policies.get(caller, made.id) == made
    assert code(lambda: world.policies.delete(caller, made.id), Forbidden) == "permission_missing"


def test_every_write_leaves_one_event_and_one_without_change_leaves_none(world: World, admin: Actor) -> None:
    before = len(world.changes())
    made = world.policies.create(admin, "One", READING)
    world.policies.update(admin, made.id, "One", READING)
    world.policies.update(admin, made.id, "Two", READING)
    world.policies.delete(admin, made.id)

    events = world.changes()[before:]
    assert [(change.event, change.subject_id) for change in events] == [
        (f"access.policies.{verb}", made.id) for verb in ("created", "updated", "deleted")
    ]
    assert [msgspec.json.decode(change.detail) for change in events] == [
        {"before": {}, "after": {"name": "One", "text": READING}},
        {"before": {"name": "One"}, "after": {"name": "Two"}},
        {"before": {"name": "Two", "text": READING}, "after": {}},
    ]


def test_nothing_secret_gets_from_a_text_into_the_record_or_a_refusal(world: World, admin: Actor) -> None:
    card = "4111 1111 1111 1111"
    world.policies.create(admin, "One", f"// {card}\n{READING}")
    assert card not in world.changes()[-1].detail.decode()

    with pytest.raises(InvalidInput) as caught:
        world.policies.create(admin, "Two", f'forbid(principal, action == Action::"{card}", resource);')
    assert card not in repr((caught.value, caught.value.__cause__, caught.value.__context__, caught.value.detail))


def test_a_wrong_text_is_refused_with_its_place_and_the_old_one_stays(world: World, admin: Actor) -> None:
    made = world.policies.create(admin, "One", READING)
    with pytest.raises(InvalidInput) as caught:
        world.policies.update(admin, made.id, "One", f"{READING}\n{READING.replace('orders', 'odours')}")
    error = caught.value
    assert (error.code, error.field, error.line, error.column) == ("policy_invalid", "text", 2, 29)
    assert world.policies.get(admin, made.id) == made


@pytest.mark.parametrize(
    ("name", "field"), [("", "name"), (" ", "name"), ("x" * 121, "name"), ("a\x00b", "name"), ("a\nb", "name")]
)
def test_names_are_as_other_names(world: World, admin: Actor, name: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        world.policies.create(admin, name, READING)
    assert caught.value.field == field


def test_a_name_is_taken_once(world: World, admin: Actor) -> None:
    world.policies.create(admin, "One", READING)
    other = world.policies.create(admin, "Two", READING)
    assert code(lambda: world.policies.create(admin, "One", READING)) == "already_exists"
    assert code(lambda: world.policies.update(admin, other.id, "One", READING)) == "already_exists"


def test_a_tenants_policies_have_a_largest_size_together(world: World, admin: Actor, stranger: Actor) -> None:
    room = "//" + "x" * (MIB // 2 - len(READING) - 3) + "\n"
    half = room + READING
    assert len(half) * 2 == MIB
    world.policies.create(admin, "Half", half)
    assert code(lambda: world.policies.create(admin, "More", half + " ")) == "policy_set_too_large"
    made = world.policies.create(admin, "Other half", half)
    assert code(lambda: world.policies.create(admin, "More", READING)) == "policy_set_too_large"
    assert code(lambda: world.policies.update(admin, made.id, "Other half", half + "//")) == "policy_set_too_large"
    world.policies.create(stranger, "Half", half)


def test_a_tenants_policies_have_a_largest_number_of_statements_together(world: World, admin: Actor) -> None:
    made = world.policies.create(admin, "Most", READING * 999)
    world.policies.create(admin, "One", READING)
    assert code(lambda: world.policies.create(admin, "More", READING)) == "too_many_policies"
    assert code(lambda: world.policies.update(admin, made.id, "Most", READING * 1000)) == "too_many_policies"
    assert code(lambda: world.policies.create(admin, "Many", READING * 1001)) == "too_many_policies"


LOCKS = {
    "everybody": EVERYBODY,
    "changes": 'forbid(principal, action == Action::"access.policies.update", resource);',
    "deletions": 'forbid(principal, action in [Action::"access.policies.delete"], resource);',
    "the tenant": "forbid(principal, action, resource is Tenant);",
    "callers that are keys": "forbid(principal is ApiKey, action, resource);",
    "other networks": INSIDE.replace("10.0.0.0/8", "192.0.2.0/24"),
    "live keys": 'forbid(principal, action, resource) when { context.environment == "live" };',
    "keys": 'forbid(principal, action, resource) unless { context.authentication_method == "token" };',
    "units only": "forbid(principal, action, resource) unless { context has local };",
    "this hour": 'forbid(principal, action, resource) when { context.time < datetime("2026-09-21T15:00:00Z") };',
    "next year": 'forbid(principal, action, resource) when { context.time > datetime("2027-01-01") };',
    "in nine years": 'forbid(principal, action, resource) when { context.time > datetime("2035-01-01") };',
    "what fails": "forbid(principal, action, resource) when { 9223372036854775807 + 1 > 0 };",
}


@pytest.mark.parametrize("text", LOCKS.values(), ids=LOCKS)
def test_a_policy_that_locks_every_administrator_out_is_refused(world: World, admin: Actor, text: str) -> None:
    caller = calling(admin)
    made = world.policies.create(caller, "One", READING)
    before = world.changes()
    assert code(lambda: world.policies.create(caller, "Two", text)) == "policy_locks_out"
    assert code(lambda: world.policies.update(caller, made.id, "One", text)) == "policy_locks_out"
    assert (world.policies.list(caller).data, world.changes()) == ((made,), before)


def test_a_policy_may_shut_out_all_but_some_administrator(world: World, demo: Onboarded, admin: Actor) -> None:
    role = world.role_id(admin, "admin")
    roles = world.role_id(admin, "viewer")
    spared = [
        EVERYBODY.replace(";", f' unless {{ principal == ApiKey::"{demo.api_key.view.id}" }};'),
        EVERYBODY.replace(";", f' unless {{ context.principal_id == "{demo.api_key.view.id}" }};'),
        EVERYBODY.replace(";", f' unless {{ principal in Role::"{role}" }};'),
        EVERYBODY.replace(";", f' when {{ principal in Role::"{roles}" }};'),
        INSIDE,
        EVERYBODY.replace(";", ' when { context.time.toTime() < duration("14h") };'),
        EVERYBODY.replace(";", ' when { context.time.toTime() > duration("14h20m") };'),
    ]
    for number, text in enumerate(spared):
        world.policies.create(calling(admin), f"P{number}", text)
    assert code(lambda: world.policies.create(calling(admin, "192.0.2.1"), "More", READING)) == "policy_locks_out"


def test_one_of_many_administrators_is_found(world: World, admin: Actor) -> None:
    role = world.role_id(admin, "admin")
    keys = [world.key(admin, role).view.id for _ in range(5)]
    for key_id in keys[:2]:
        text = EVERYBODY.replace(";", f' unless {{ principal == ApiKey::"{key_id}" }};')
        assert world.policies.create(calling(admin), key_id, text).text == text
        world.policies.delete(calling(admin), world.policies.list(admin).data[0].id)


def test_a_tokens_age_is_taken_as_that_of_the_call(world: World, admin: Actor) -> None:
    young = EVERYBODY.replace(";", " unless { context has token_age && context.token_age < 600 };")
    always = young + EVERYBODY.replace(";", ' when { context.time < datetime("2000-01-01") };')
    fresh = calling(admin, issued_us=START - 60_000_000)
    old = calling(admin, issued_us=START - 3_600_000_000)
    assert code(lambda: world.policies.create(old, "Young", always)) == "policy_locks_out"
    assert world.policies.create(fresh, "Young", always).name == "Young"


def test_deleting_a_policy_is_never_refused_for_who_is_locked_out_already(world: World, admin: Actor) -> None:
    caller = calling(admin)
    made = [world.policies.create(caller, f"P{number}", INSIDE) for number in range(2)]
    outside = calling(admin, "192.0.2.1")
    world.policies.delete(outside, made[0].id)
    assert [policy.id for policy in world.policies.list(outside).data] == [made[1].id]


def test_the_key_that_a_policy_spares_cannot_be_deleted(world: World, demo: Onboarded, admin: Actor) -> None:
    second = world.key(admin, world.role_id(admin, "admin"))
    text = EVERYBODY.replace(";", f' unless {{ principal == ApiKey::"{demo.api_key.view.id}" }};')
    policy = world.policies.create(calling(admin), "Only one", text)
    assert code(lambda: world.keys.delete(calling(admin), demo.api_key.view.id)) == "last_administrator"

    world.policies.delete(calling(admin), policy.id)
    world.keys.delete(calling(admin), demo.api_key.view.id)
    assert world.keys.get(admin, second.view.id).status == "enabled"


def test_whoever_is_locked_out_for_the_moment_can_still_not_remove_the_last_administrator(
    world: World, demo: Onboarded, admin: Actor
) -> None:
    world.policies.create(calling(admin), "Inside", INSIDE)
    outside = calling(admin, "192.0.2.1")
    assert code(lambda: world.keys.delete(outside, demo.api_key.view.id)) == "last_administrator"


def test_somebody_at_the_machine_has_no_address_and_may_say_where_others_call_from(
    world: World, demo: Onboarded
) -> None:
    local = world.local(demo.tenant.id)
    assert world.policies.create(local, "Inside", INSIDE).text == INSIDE
    nowhere = EVERYBODY.replace(";", ' when { context.client_ip.isInRange(ip("0.0.0.0/0")) };')
    assert code(lambda: world.policies.create(local, "Nowhere", nowhere)) == "policy_locks_out"
    assert code(lambda: world.policies.create(local, "Nobody", EVERYBODY)) == "policy_locks_out"


def test_a_tenant_without_administrators_has_nobody_to_lock_out(world: World, demo: Onboarded, admin: Actor) -> None:
    held = [one.name for one in world.permissions.list(admin, 200).data]
    key = world.key(admin, world.role(admin, "All", *held).id)
    with world.directory.transaction() as transaction:
        only = transaction.key(demo.tenant.id, demo.api_key.view.id)
        assert only is not None
        transaction.save_key(msgspec.structs.replace(only, enabled=False))
    caller = world.actor(key, demo.tenant.id)
    assert isinstance(world.policies.create(caller, "One", EVERYBODY), PolicyView)


def test_looking_for_an_hour_gives_up_after_so_many_and_counts_as_locked_out(
    world: World, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hatchpay.admin.lockout._MOST_JUDGEMENTS", 7)
    timed = EVERYBODY.replace(";", ' when { context.time < datetime("2000-01-01") };')
    assert code(lambda: world.policies.create(calling(admin), "Timed", timed)) == "policy_locks_out"
    monkeypatch.setattr("hatchpay.admin.lockout._MOST_JUDGEMENTS", 8)
    assert world.policies.create(calling(admin), "Timed", timed).name == "Timed"


def test_looking_for_an_hour_gives_up_after_a_second_and_counts_as_locked_out(world: World, admin: Actor) -> None:
    timed = EVERYBODY.replace(";", ' when { context.time < datetime("2000-01-01") };')
    world.policies.create(calling(admin), "Timed", timed)

    def told(step_s: float) -> bool:
        """With a clock that moves on by so much whenever it is asked; it is asked nine times."""
        times = itertools.count(100.0, step_s)
        with world.directory.read() as view:
            tenant_id = admin.principal.tenant_id
            return is_administrable(view, tenant_id, calling(admin), world.clock(), lambda: next(times))

    assert told(0.1)
    assert not told(0.13)


def test_statements_are_counted_before_any_is_checked(
    world: World, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("hatchpay.admin.policies.check", never)
    assert code(lambda: world.policies.create(admin, "Many", READING * 1001)) == "too_many_policies"
    assert code(lambda: world.policies.create(admin, "Many", "nonsense;" * 1001)) == "too_many_policies"


def test_semicolons_in_texts_and_comments_are_no_statements(world: World, admin: Actor) -> None:
    assert world.policies.create(admin, "One", READING + f"// {';' * 2000}").name == "One"


def test_a_renamed_role_is_still_the_role_that_a_policy_names(world: World, demo: Onboarded, admin: Actor) -> None:
    from tests.support.policies import asked

    from hatchpay.admin.views import RoleDraft
    from hatchpay.tokens.apikey import encode_id

    role = world.role(admin, "Till", "shop.orders.read")
    key = world.key(admin, role.id)
    world.policies.create(admin, "No till", f'forbid(principal in Role::"{role.id}", action, resource);')
    for name in ("Till", "Counter", "Desk"):
        world.roles.update(admin, role.id, RoleDraft(name=name, permissions=("shop.orders.read",)))
        world.snapshots.refresh()
        principal = world.snapshots.current.keys[encode_id(key.view.id)].principal
        assert principal.roles == (name,)
        decision = world.snapshots.rules.policies[demo.tenant.id].judge(asked("shop.orders.read", principal))
        assert decision is not None
        assert decision.reason == "policy_forbids"
