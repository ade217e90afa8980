"""What a tenant's compiled policies say to a request to which a role has said yes."""

from __future__ import annotations

import pytest
from tests.support.policies import (
    AMOUNT,
    BOOKS,
    CURRENCY,
    KEY,
    MONDAY_NOON,
    PAY,
    READ,
    TENANT,
    TILL,
    UNIT,
    asked,
    judged,
    policies,
    till,
)

from hatchpay.access.routes import BodyField
from hatchpay.access.rules import FieldValue
from hatchpay.identity.principal import Principal, TokenUse

HOUR = 3_600_000_000
FORBIDDEN = ("policy_forbids", "policy:policy-0", None)
BROKEN = ("policy_error", "policy:policy-0", None)
BROKEN_BY_NOBODY = ("policy_error", None, None)


def judge_one(condition: str, **request: object) -> tuple[str, str | None, str | None] | None:
    """The judgement of `forbid(principal, action, resource) when { condition };`."""
    compiled = policies(f"forbid(principal, action, resource) when {{ {condition} }};")
    return judged(compiled.judge(asked(**request)))  # type: ignore[arg-type]


def test_what_no_forbid_matches_is_left_to_the_roles() -> None:
    compiled = policies(f'forbid(principal, action == Action::"{READ}", resource);')
    assert compiled.judge(asked(PAY)) is None
    assert judged(compiled.judge(asked(READ))) == FORBIDDEN


@pytest.mark.parametrize(
    ("scope", "concerned"),
    [
        ("action", {PAY, READ}),
        (f'action == Action::"{PAY}"', {PAY}),
        (f'action in Action::"{PAY}"', {PAY}),
        (f'action in [Action::"{PAY}", Action::"{READ}"]', {PAY, READ}),
        ("action in []", set()),
    ],
)
def test_only_permissions_that_a_scope_can_match_are_concerned(scope: str, concerned: set[str]) -> None:
    compiled = policies(f"forbid(principal, {scope}, resource);")
    assert {permission for permission in (PAY, READ) if compiled.concern(permission)} == concerned
    assert {permission for permission in (PAY, READ) if compiled.judge(asked(permission))} == concerned


def test_a_permission_that_no_policy_concerns_never_enters_cedar(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = policies(f'forbid(principal, action == Action::"{READ}", resource);')
    monkeypatch.setattr("hatchpay.access.policy.cedar", None)
    assert compiled.judge(asked(PAY)) is None


@pytest.mark.parametrize(
    ("scope", "matches"),
    [
        (f'principal == ApiKey::"{KEY}"', True),
        (f'principal == ApiKey::"{UNIT}"', False),
        (f'principal == User::"{KEY}"', False),
        (f'principal in Role::"{TILL}"', True),
        (f'principal in Role::"{BOOKS}"', False),
        ("principal is ApiKey", True),
        ("principal is User", False),
        (f'principal is ApiKey in Role::"{TILL}"', True),
    ],
)
def test_a_scope_names_keys_and_roles_by_their_ids(scope: str, matches: bool) -> None:
    decision = policies(f"forbid({scope}, action, resource);").judge(asked(principal=till("till")))
    assert (decision is not None) is matches


@pytest.mark.parametrize("key_id", [None, KEY])
def test_a_user_is_a_user_behind_an_exchanged_token_too(key_id: str | None) -> None:
    token = TokenUse(id=None, issuer_id="issuer")
    user = Principal("user:alice@example.com", "user", TENANT, key_id, ("books", "no role here"), {}, token=token)
    for scope in ('principal == User::"alice@example.com"', f'principal in Role::"{BOOKS}"'):
        assert judged(policies(f"forbid({scope}, action, resource);").judge(asked(principal=user))) == FORBIDDEN
    condition = 'context.principal_id == "alice@example.com" && context.authentication_method == "token"'
    assert judge_one(condition, principal=user) == FORBIDDEN


def by_key(*key_roles: str) -> Principal:
    """Alice, who keeps books, by a token that a key with these roles has exchanged."""
    token = TokenUse(id=None, issuer_id="issuer", key_roles=key_roles)
    return Principal("user:alice@example.com", "user", TENANT, KEY, ("books",), {}, token=token)


@pytest.mark.parametrize(
    "scope",
    [
        f'principal == ApiKey::"{KEY}"',
        f'principal in Role::"{TILL}"',
        "principal is ApiKey",
        'principal == User::"alice@example.com"',
        f'principal is User in Role::"{BOOKS}"',
    ],
)
def test_what_is_forbidden_to_a_key_is_forbidden_to_users_who_act_through_it(scope: str) -> None:
    compiled = policies(f"forbid({scope}, action, resource);")
    for _ in range(2):
        assert judged(compiled.judge(asked(principal=by_key("till")))) == FORBIDDEN


@pytest.mark.parametrize(
    "scope",
    [
        f'principal == ApiKey::"{UNIT}"',
        f'principal is User in Role::"{TILL}"',
        f'principal is ApiKey in Role::"{BOOKS}"',
    ],
)
def test_a_user_and_the_key_that_it_acts_through_keep_their_own_roles(scope: str) -> None:
    assert policies(f"forbid({scope}, action, resource);").judge(asked(principal=by_key("till"))) is None


def test_through_a_key_that_has_lost_a_role_a_user_may_no_more() -> None:
    compiled = policies(f'forbid(principal is ApiKey in Role::"{TILL}", action, resource);')
    assert compiled.judge(asked(principal=by_key())) is None
    assert judged(compiled.judge(asked(principal=by_key("till")))) == FORBIDDEN
    assert judged(compiled.judge(asked(principal=by_key("renamed")))) == BROKEN_BY_NOBODY


def test_a_key_whose_role_was_renamed_a_moment_ago_is_denied_rather_than_taken_for_another() -> None:
    compiled = policies(f'forbid(principal in Role::"{BOOKS}", action, resource);')
    assert judged(compiled.judge(asked(principal=till("renamed")))) == BROKEN_BY_NOBODY


@pytest.mark.parametrize(
    ("scope", "with_unit", "without"),
    [
        (f'resource == BusinessUnit::"{UNIT}"', True, False),
        ("resource is BusinessUnit", True, False),
        (f'resource in Tenant::"{TENANT}"', True, True),
        (f'resource == Tenant::"{TENANT}"', False, True),
        (f'resource == BusinessUnit::"{KEY}"', False, False),
    ],
)
def test_the_resource_is_the_business_unit_or_else_the_tenant(scope: str, with_unit: bool, without: bool) -> None:
    compiled = policies(f"forbid(principal, action, {scope});")
    assert (compiled.judge(asked(zone="Europe/Zurich")) is not None) is with_unit
    assert (compiled.judge(asked()) is not None) is without


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ('context.client_ip.isInRange(ip("192.0.2.0/24"))', True),
        ('context.client_ip == ip("192.0.2.11")', False),
        ('context.time == datetime("2026-11-23T12:00:00Z")', True),
        ('context.time < datetime("2026-11-23")', False),
        ('context.environment == "live"', True),
        ('context.authentication_method == "api_key"', True),
        (f'context.principal_id == "{KEY}"', True),
        ("context has local", False),
        ("context has token_age", False),
        ("context has body", False),
    ],
)
def test_the_context_says_how_when_and_from_where(condition: str, matches: bool) -> None:
    assert judge_one(condition) == (FORBIDDEN if matches else None)


def test_an_ipv4_address_inside_ipv6_is_the_ipv4_address_that_it_is() -> None:
    condition = 'context.client_ip.isInRange(ip("192.0.2.0/24"))'
    assert judge_one(condition, client_ip="::ffff:192.0.2.10") == FORBIDDEN
    assert judge_one(condition, client_ip="2001:db8::1") is None


@pytest.mark.parametrize("client_ip", [None, "nowhere", "fe80::1%eth0"])
def test_who_comes_from_nowhere_is_denied_by_what_asks_from_where(client_ip: str | None) -> None:
    assert judge_one('context.client_ip.isInRange(ip("192.0.2.0/24"))', client_ip=client_ip) == BROKEN


@pytest.mark.parametrize(
    ("zone", "now_us", "local"),
    [
        ("Europe/Zurich", MONDAY_NOON, (13, 0, 1, "2026-11-23")),
        ("Asia/Kathmandu", MONDAY_NOON, (17, 45, 1, "2026-11-23")),
        ("Pacific/Auckland", MONDAY_NOON, (1, 0, 2, "2026-11-24")),
        ("Europe/Zurich", MONDAY_NOON - 150 * 24 * HOUR, (14, 0, 5, "2026-06-26")),
        ("America/Los_Angeles", MONDAY_NOON - 6 * HOUR, (22, 0, 7, "2026-11-22")),
    ],
)
def test_local_is_the_time_in_the_units_own_zone(zone: str, now_us: int, local: tuple[int, int, int, str]) -> None:
    hour, minute, weekday, date = local
    condition = (
        f"context has local && context.local.hour == {hour} && context.local.minute == {minute} && "
        f'context.local.weekday == {weekday} && context.local.date == "{date}"'
    )
    assert judge_one(condition, zone=zone, now_us=now_us) == FORBIDDEN


def test_a_zone_that_nobody_knows_denies() -> None:
    assert judge_one("context has local && false", zone="Mars/Olympus") == ("policy_error", None, None)


def test_a_tokens_age_is_in_seconds() -> None:
    caller = till(token=TokenUse(id="t", issued_us=MONDAY_NOON - 90_900_000))
    assert judge_one("context has token_age && context.token_age == 90", principal=caller) == FORBIDDEN
    ahead = till(token=TokenUse(id="t", issued_us=MONDAY_NOON + 30_000_000))
    assert judge_one("context has token_age && context.token_age == 0", principal=ahead) == FORBIDDEN
    assert judge_one("context has token_age", principal=till(token=TokenUse(id="t"))) is None


LIMIT = f"""forbid(principal, action == Action::"{PAY}", resource)
when {{ context.body.amount.greaterThan(decimal("500.00")) }};"""
GUARDED = LIMIT.replace("when { ", "when { context.body has amount && ")


@pytest.mark.parametrize(
    ("amount", "forbidden"),
    [
        ("500.00", False),
        ("500.01", True),
        ("500.0001", True),
        ("500", False),
        ("501", True),
        ("5.1e2", True),
        ("500.000000", False),
        ("-1.5", False),
        ("922337203685477.5807", True),
    ],
)
def test_amounts_are_compared_as_decimals(amount: str, forbidden: bool) -> None:
    decision = policies(LIMIT).judge(asked(fields=(AMOUNT,), body={"amount": amount}))
    assert judged(decision) == (FORBIDDEN if forbidden else None)


@pytest.mark.parametrize("text", [LIMIT, GUARDED])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"amount": 500},
        {"amount": True},
        {"amount": "many"},
        {"amount": "500.00001"},
        {"amount": "922337203685477.5808"},
        {"amount": "1e999999999"},
        {"amount": "NaN"},
        {"amount": "Infinity"},
        {"amount": "٥"},
        {"amount": "1_0"},
        {"amount": " 1.00"},
        {"amount": "0x1"},
        {"amount": ""},
        {"other": "1.00"},
    ],
)
def test_a_field_that_is_missing_or_of_another_type_is_denied_by_name(text: str, body: dict[str, FieldValue]) -> None:
    decision = policies(text).judge(asked(fields=(AMOUNT, CURRENCY), body=body))
    assert judged(decision) == ("policy_input_missing", "policy:policy-0", "body.amount")


def test_a_policy_that_wants_a_field_to_be_there_denies_where_it_is_not() -> None:
    compiled = policies(LIMIT.replace("when { ", "unless { context.body has amount && ").replace("greater", "less"))
    assert judged(compiled.judge(asked(fields=(AMOUNT,), body={"amount": "1.00"}))) is None
    assert judged(compiled.judge(asked(fields=(AMOUNT,)))) == ("policy_input_missing", "policy:policy-0", "body.amount")


@pytest.mark.parametrize(
    ("kind", "value", "literal"),
    [
        ("long", 7, "7"),
        ("string", 'é"\\', '"é\\"\\\\"'),
        ("boolean", True, "true"),
        ("decimal", "7.0", 'decimal("7.0")'),
    ],
)
def test_each_type_of_field_arrives_as_it_is(kind: str, value: FieldValue, literal: str) -> None:
    field = BodyField("value", kind, "/value")  # type: ignore[arg-type]
    condition = f"context.body.value == {literal}"
    assert judge_one(condition, fields=(field,), body={"value": value}) == FORBIDDEN


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_number_that_cedar_cannot_hold_is_missing(value: int) -> None:
    field = BodyField("count", "long", "/count")
    decision = judge_one("context.body.count > 1", fields=(field,), body={"count": value})
    assert decision == ("policy_input_missing", "policy:policy-0", "body.count")


def test_a_text_of_more_than_1024_characters_is_missing() -> None:
    field = BodyField("note", "string", "/note")
    for condition in ('context.body.note like "*é"', 'context.body.note == ""', "context.body has note"):
        long = judge_one(condition, fields=(field,), body={"note": "é" * 1025})
        assert long == ("policy_input_missing", "policy:policy-0", "body.note")
    assert judge_one('context.body.note like "*é"', fields=(field,), body={"note": "é" * 1024}) == FORBIDDEN


def test_a_route_without_fields_does_not_slip_past_what_its_permission_declares_elsewhere() -> None:
    text = LIMIT.replace("when { ", "when { context has body && ").replace(f' == Action::"{PAY}"', "")
    assert policies(text).judge(asked()) is None
    decision = policies(text, with_body=frozenset({PAY})).judge(asked())
    assert judged(decision) == ("policy_input_missing", "policy:policy-0", "body.amount")


def test_a_field_that_is_not_reached_may_be_missing() -> None:
    text = LIMIT.replace("when {", f'when {{ principal in Role::"{BOOKS}" }} when {{')
    assert policies(text).judge(asked(fields=(AMOUNT,))) is None


@pytest.mark.parametrize(
    "condition",
    [
        "9223372036854775807 + context.local.hour > 0",
        "principal.unknown == 1",
        "context.unknown == 1",
        'context.environment.lessThan(decimal("1.0"))',
    ],
)
def test_what_cannot_be_evaluated_denies(condition: str) -> None:
    assert judge_one(condition, zone="Europe/Zurich") == BROKEN


def test_a_forbid_that_matches_says_so_whatever_else_fails() -> None:
    compiled = policies(
        "forbid(principal, action, resource) when { principal.unknown == 1 };",
        "forbid(principal, action, resource);",
    )
    assert judged(compiled.judge(asked())) == ("policy_forbids", "policy:policy-1", None)


def test_of_several_that_forbid_the_oldest_is_named() -> None:
    statement = "forbid(principal, action, resource);"
    never = "forbid(principal, action, resource) when { false };"
    compiled = policies(first=never * 12, second=never + statement, third=statement)
    assert judged(compiled.judge(asked())) == ("policy_forbids", "policy:second", None)


def test_a_text_that_cannot_be_read_denies_everything() -> None:
    compiled = policies(fine=f'forbid(principal, action == Action::"{READ}", resource);', torn="forbid(principal,")
    assert compiled.concern("whatever.it.is")
    assert judged(compiled.judge(asked(PAY))) == ("policy_error", "policy:torn", None)


def test_a_stored_permit_permits_nothing_and_denies_everything() -> None:
    assert judged(policies("permit(principal, action, resource);").judge(asked())) == BROKEN


def test_ids_that_look_like_cedar_are_only_ids() -> None:
    odd = 'a"; permit(principal, action, resource); //\\\n'
    caller = Principal(f"user:{odd}", "user", TENANT, None, (), {})
    assert judge_one('principal == User::"a"', principal=caller) is None
    assert judge_one("principal is User", principal=caller) == FORBIDDEN


def test_more_callers_and_permissions_than_are_kept_are_judged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hatchpay.access.policy._MOST_KEPT_ENTITIES", 3)
    monkeypatch.setattr("hatchpay.access.policy._MOST_KEPT_STATEMENTS", 4)
    monkeypatch.setattr("hatchpay.access.policy._MOST_KEPT_ANSWERS", 5)
    permissions = [f"shop.things.do{number}" for number in range(10)]
    text = "".join(f'forbid(principal == ApiKey::"3", action == Action::"{name}", resource);' for name in permissions)
    compiled = policies(text)
    for _ in range(2):
        for name in permissions:
            found = [number for number in range(8) if compiled.judge(asked(name, till(key_id=str(number))))]
            assert found == [3]


def test_what_was_asked_before_is_answered_without_cedar(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = policies('forbid(principal, action, resource) unless { context.client_ip == ip("192.0.2.10") };')
    assert compiled.judge(asked()) is None
    refused = compiled.judge(asked(client_ip="192.0.2.11"))
    monkeypatch.setattr("hatchpay.access.policy.cedar", None)
    assert compiled.judge(asked()) is None
    assert compiled.judge(asked(client_ip="192.0.2.11")) == refused


def test_an_answer_is_kept_for_its_own_permission_unit_and_caller_only() -> None:
    unit = f'forbid(principal, action, resource == BusinessUnit::"{UNIT}");'
    role = f'forbid(principal in Role::"{BOOKS}", action, resource);'
    compiled = policies(f'forbid(principal, action == Action::"{PAY}", resource);', unit, role)
    for _ in range(2):
        assert judged(compiled.judge(asked(PAY))) == FORBIDDEN
        assert judged(compiled.judge(asked(READ))) is None
        assert judged(compiled.judge(asked(READ, zone="Etc/UTC"))) == ("policy_forbids", "policy:policy-1", None)
        assert judged(compiled.judge(asked(READ, till("books")))) == ("policy_forbids", "policy:policy-2", None)
