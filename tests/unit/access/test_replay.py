"""Recorded requests decided anew. What a record does not tell is never guessed."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from types import ModuleType
from typing import Any

import msgspec
import pytest

from hatchpay.access.decision import Decision
from hatchpay.access.replay import Comparison, Standing, Verdict
from hatchpay.access.routes import BodyField, Route, RouteTable, UnitSource
from hatchpay.access.rules import Asked, FieldValue, Rules, UnitEntry
from hatchpay.audit.record import Record
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.ports import IssuerEntry, KeyEntry, KeyState, Snapshot, Trust
from hatchpay.identity.principal import Limits, Principal
from hatchpay.ids import new_id
from hatchpay.tokens.apikey import encode_id
from hatchpay.tokens.digest import Peppers

TENANT, KEY, ISSUER, UNIT, OTHER_UNIT = (new_id() for _ in range(5))
READ, WRITE = "shop.orders.read", "shop.orders.create"
TABLE = RouteTable(
    [
        Route(method="GET", template="/orders/{id}", permission=READ),
        Route(method="POST", template="/orders", permission=WRITE, unit=(UnitSource("body", "unit"),)),
        Route(method="GET", template="/stock", permission=READ, unit=(UnitSource("handler"),)),
        Route(method="GET", template="/", access="open"),
        Route(method="POST", template="/paid", permission=WRITE, fields=(BodyField("amount", "decimal", "/amount"),)),
    ]
)
SAME = Verdict("same")


def standing(
    *permissions: str,
    roles: Mapping[str, set[str]] | None = None,
    limits: Limits | None = None,
    state: KeyState = "enabled",
    ceiling: tuple[str, ...] = (READ, WRITE),
    units_claim: str | None = None,
    policies: Any = None,
    issuer_enabled: bool = True,
) -> Standing:
    """One key that holds `permissions` by the role "till", and one issuer whose users hold `roles` by name."""
    grants = dict.fromkeys(permissions, "role:till")
    key = Principal(KEY, "api_key", TENANT, KEY, ("till",), grants, limits or Limits())
    issuer = IssuerEntry(
        id=ISSUER,
        tenant_id=TENANT,
        issuer="https://id.test",
        audience="x",
        jwks_url=None,
        algorithms=frozenset(),
        ceiling=frozenset(ceiling),
        claims=ClaimsMapping(roles="roles", business_units=units_claim),
        enabled=issuer_enabled,
        keys=None,
        fetched_us=None,
        tried_us=None,
    )
    trust = Trust(
        issuers={ISSUER: issuer}, roles={(TENANT, name): frozenset(held) for name, held in (roles or {}).items()}
    )
    snapshot = Snapshot(1, {encode_id(KEY): KeyEntry(key, state, ())}, Peppers(0, {}), trust)
    units = {TENANT: {unit: UnitEntry(unit, "UTC") for unit in (UNIT, OTHER_UNIT)}}
    return Standing(snapshot, Rules(units, {} if policies is None else {TENANT: policies}))


def record(**fields: Any) -> Record:
    """An allowed request of the key to read an order, unless `fields` say otherwise."""
    values: dict[str, Any] = {
        "method": "GET",
        "url": "/orders/7",
        "started_us": 1_000,
        "principal_id": KEY,
        "key_id": KEY,
        "decision": "allow",
        "reason": "role_grants",
        "rule": "role:till",
        "route": "/orders/{id}",
        "permission": READ,
        "roles": ("till",),
    }
    return Record(request_id=new_id(), tenant_id=TENANT, **(values | fields))


def denied(**fields: Any) -> Record:
    return record(**({"decision": "deny", "reason": "permission_missing", "rule": None, "missing": READ} | fields))


def order(**fields: Any) -> dict[str, Any]:
    return {"method": "POST", "route": "/orders", "permission": WRITE, **fields}


def judge(before: Standing, after: Standing, one: Record, **options: Any) -> Verdict:
    return Comparison(TENANT, before, after, TABLE, **options).judge(one)


class TestKeys:
    def test_what_worked_and_would_not_any_more_is_denied_and_names_what_is_missing(self) -> None:
        assert judge(standing(READ), standing(WRITE), record()) == Verdict("denied", READ, "permission_missing", READ)

    def test_what_was_refused_and_would_work_is_allowed_and_names_what_is_missing_now(self) -> None:
        assert judge(standing(), standing(READ), denied()) == Verdict("allowed", READ, "permission_missing", READ)

    def test_what_worked_but_does_not_work_now_would_be_allowed_again(self) -> None:
        assert judge(standing(), standing(READ), record()).outcome == "allowed"

    @pytest.mark.parametrize(("before", "after"), [((READ,), (READ, WRITE)), ((), (WRITE,)), ((READ, WRITE), (READ,))])
    def test_what_stays_as_it_is_is_the_same(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        assert judge(standing(*before), standing(*after), record()) == SAME
        assert judge(standing(*before), standing(*after), denied()) == SAME

    def test_what_never_worked_cannot_break(self) -> None:
        assert judge(standing(READ), standing(), denied()) == SAME

    def test_a_request_that_its_handler_refused_was_let_through_all_the_same(self) -> None:
        assert judge(standing(READ), standing(), record(reason="not_found")).outcome == "denied"

    def test_head_is_decided_as_its_get(self) -> None:
        assert judge(standing(READ), standing(), record(method="HEAD")).outcome == "denied"

    def test_a_disabled_key_counts_as_if_it_were_enabled(self) -> None:
        assert judge(standing(READ, state="disabled"), standing(state="disabled"), record()).outcome == "denied"

    def test_a_token_counts_as_its_key_where_it_was_let_through(self) -> None:
        assert judge(standing(READ), standing(), record(token_id="t")).outcome == "denied"

    def test_whether_a_refused_token_would_do_is_not_on_the_record(self) -> None:
        assert judge(standing(), standing(READ), denied(token_id="t")) == Verdict(
            "undecided", reason="token_scope_not_kept"
        )


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (record(principal_id=None, key_id=None), "caller_not_proven"),
        (record(principal_id="local:0", key_id=None, permission=None), "local"),
        (denied(route=None, permission=None, reason="route_not_listed"), "route_not_listed"),
        (record(route="/", permission=None, reason="open_route"), "no_permission_needed"),
        (record(route="/"), "no_permission_needed"),
        (record(route="/gone"), "route_no_longer_listed"),
        (denied(reason="network_not_allowed"), "refused_otherwise"),
        (denied(reason="rate_limited"), "refused_otherwise"),
        (denied(reason="last_administrator"), "refused_otherwise"),
        (record(key_id=(other := new_id()), principal_id=other), "key_unknown"),
    ],
)
def test_what_access_does_not_decide_is_skipped_and_says_why(one: Record, reason: str) -> None:
    assert judge(standing(READ), standing(), one) == Verdict("skipped", reason=reason)


def test_a_deleted_key_is_skipped() -> None:
    gone = standing(READ, state="deleted")
    assert judge(gone, gone, record()) == Verdict("skipped", reason="key_deleted")


def test_a_key_of_another_tenant_is_none_of_this_ones() -> None:
    verdict = Comparison(new_id(), standing(READ), standing(), TABLE).judge(record())
    assert verdict == Verdict("skipped", reason="key_unknown")


def test_an_address_from_which_the_key_may_not_call_any_more_is_skipped_and_another_is_not() -> None:
    limits = Limits(networks=(ip_network("192.0.2.0/24"),))
    comparison = Comparison(TENANT, standing(READ, limits=limits), standing(limits=limits), TABLE)
    outcomes = [comparison.judge(record(client_ip=ip)) for ip in ("192.0.2.1", "198.51.100.1", "192.0.2.2")]
    assert [one.outcome for one in outcomes] == ["denied", "skipped", "denied"]
    assert outcomes[1].reason == "network_not_allowed"


class TestUnits:
    LIMITED = Limits(business_unit_ids=frozenset({UNIT}))

    def test_a_unit_that_is_not_the_keys_stays_denied_whatever_its_roles(self) -> None:
        one = denied(**order(business_unit_id=OTHER_UNIT, reason="business_unit_not_allowed", missing=None))
        assert judge(standing(limits=self.LIMITED), standing(WRITE, limits=self.LIMITED), one) == SAME

    def test_a_unit_of_the_key_is_decided_by_its_roles(self) -> None:
        one = record(**order(business_unit_id=UNIT))
        assert judge(standing(WRITE, limits=self.LIMITED), standing(limits=self.LIMITED), one).outcome == "denied"

    def test_a_unit_that_nobody_read_leaves_it_open_whether_a_key_of_chosen_units_might(self) -> None:
        verdict = judge(standing(limits=self.LIMITED), standing(WRITE, limits=self.LIMITED), denied(**order()))
        assert verdict == Verdict("undecided", reason="business_unit_not_kept")

    def test_it_does_not_matter_for_a_key_of_all_units_or_where_nothing_changes(self) -> None:
        assert judge(standing(), standing(WRITE), denied(**order())).outcome == "allowed"
        assert judge(standing(limits=self.LIMITED), standing(limits=self.LIMITED), denied(**order())) == SAME

    def test_it_does_not_matter_where_the_handler_keeps_to_the_units(self) -> None:
        one = denied(route="/stock")
        assert judge(standing(limits=self.LIMITED), standing(READ, limits=self.LIMITED), one).outcome == "allowed"

    def test_a_user_whose_token_names_units_leaves_it_open(self) -> None:
        one = denied(**order(principal_id="user:ada", key_id=None, issuer_id=ISSUER, roles=("till",)))
        before, after = (standing(roles={"till": held}, units_claim="units") for held in (set[str](), {WRITE}))
        assert judge(before, after, one) == Verdict("undecided", reason="business_unit_not_kept")


def user(**fields: Any) -> dict[str, Any]:
    return {"principal_id": "user:ada", "key_id": None, "issuer_id": ISSUER, "roles": ("till",), **fields}


class TestUsers:
    def test_they_hold_what_the_roles_on_the_record_hold_now(self) -> None:
        before, after = standing(roles={"till": {READ}, "x": {READ}}), standing(roles={"till": {WRITE}, "x": {READ}})
        assert judge(before, after, record(**user())).outcome == "denied"
        assert judge(before, after, record(**user(roles=("till", "x")))) == SAME
        assert judge(after, before, denied(**user())).outcome == "allowed"

    def test_never_more_than_the_ceiling(self) -> None:
        before, after = (standing(roles={"till": held}, ceiling=(WRITE,)) for held in (set[str](), {READ}))
        assert judge(before, after, denied(**user())) == SAME

    def test_what_the_token_itself_has_claimed_no_role_takes_away(self) -> None:
        one = record(**user(rule="claim:permissions"))
        assert judge(standing(roles={"till": {READ}}), standing(roles={"till": set()}), one) == SAME

    def test_a_user_behind_a_key_may_no_more_than_the_key(self) -> None:
        one = record(**user(key_id=KEY, token_id="t"))
        held = {"till": {READ}}
        assert judge(standing(READ, roles=held), standing(roles=held), one).outcome == "denied"
        assert judge(standing(READ, roles=held), standing(READ, roles={"till": set()}), one).outcome == "denied"
        assert judge(standing(READ, roles=held), standing(READ, WRITE, roles=held), one) == SAME

    def test_users_of_an_issuer_that_is_not_trusted_are_skipped(self) -> None:
        for nobody in (standing(issuer_enabled=False), standing()):
            issuer_id = ISSUER if nobody.snapshot.trust.issuers[ISSUER].enabled is False else new_id()
            verdict = judge(nobody, nobody, record(**user(issuer_id=issuer_id)))
            assert verdict == Verdict("skipped", reason="issuer_not_trusted")


class Forbidding:
    """Policies that forbid an amount over a limit, and whatever comes from an address; `asked` is what they saw."""

    def __init__(self, most: int | None = None, address: str = "nowhere", concerned: str = WRITE) -> None:
        self.most, self.address, self.concerned = most, address, concerned
        self.asked: list[Asked] = []

    def concern(self, permission: str) -> bool:
        return permission == self.concerned

    def judge(self, asked: Asked) -> Decision | None:
        self.asked.append(asked)
        amount = asked.body.get("amount")
        if self.most is not None and (not isinstance(amount, str) or float(amount) > self.most):
            return Decision("deny", "policy_forbids", "policy:limit")
        return Decision("deny", "policy_forbids", "policy:net") if asked.client_ip == self.address else None


def read_amount(fields: Sequence[BodyField], body: bytes) -> Mapping[str, FieldValue]:
    """Stands in for the gate's own reader."""
    found = msgspec.json.decode(body)
    value = found.get("amount") if isinstance(found, dict) else None
    return {field.name: value for field in fields if isinstance(value, str)}


def paid(body: bytes | None, **fields: Any) -> Record:
    size = len(body or b"")
    return record(
        **({"method": "POST", "route": "/paid", "permission": WRITE, "body": body, "body_size": size} | fields)
    )


class TestPolicies:
    def test_each_request_is_decided_for_itself_at_its_own_time_and_from_its_own_address(self) -> None:
        policy = Forbidding(address="192.0.2.1", concerned=READ)
        comparison = Comparison(TENANT, standing(READ), standing(READ, policies=policy), TABLE)
        addresses = ("192.0.2.1", "192.0.2.2", "192.0.2.1")
        verdicts = [comparison.judge(record(client_ip=ip, started_us=number)) for number, ip in enumerate(addresses)]
        assert verdicts == [forbidden := Verdict("denied", READ, "policy_forbids"), SAME, forbidden]
        assert [asked.now_us for asked in policy.asked] == [0, 1, 2]

    def test_nothing_of_a_record_is_kept_once_it_is_judged(self) -> None:
        comparison = Comparison(
            TENANT, standing(WRITE), standing(WRITE, policies=Forbidding(most=500)), TABLE, read_amount
        )
        one = paid(b'{"amount":"7"}', url="/paid?a=7")
        comparison.judge(one)
        kept = [comparison]
        seen: dict[int, object] = {}
        while kept:
            holder = kept.pop()
            if id(holder) not in seen and not isinstance(holder, type | ModuleType):
                seen[id(holder)] = holder
                kept += gc.get_referents(holder)
        assert not {id(one), id(one.body), id(one.url)} & seen.keys()

    def test_the_body_on_the_record_is_asked(self) -> None:
        before, after = standing(WRITE), standing(WRITE, policies=Forbidding(most=500))
        comparison = Comparison(TENANT, before, after, TABLE, read_amount)
        outcomes = [comparison.judge(paid(b'{"amount":"%d"}' % amount)).outcome for amount in (500, 501)]
        assert outcomes == ["same", "denied"]

    def test_a_body_without_the_field_is_judged_as_the_gate_would(self) -> None:
        after = standing(WRITE, policies=Forbidding(most=500))
        assert judge(standing(WRITE), after, paid(b'{"sum":"1"}'), read_fields=read_amount).outcome == "denied"
        assert judge(standing(WRITE), after, paid(None), read_fields=read_amount).outcome == "denied"

    @pytest.mark.parametrize(
        "one",
        [
            paid(b'{"amount":"[redacted]"}', body_size=40),
            paid(b'{"note":"[redacted]"}', body_size=90),
            paid(b'"{\\"amount\\":\\"1', body_size=70_000, body_digest="d"),
            paid(b'"[binary, not kept]"', body_size=15),
            paid(None, body_size=10),
        ],
        ids=["redacted", "missing in an altered body", "cut", "not kept", "never read"],
    )
    def test_a_body_that_the_record_does_not_have_whole_leaves_it_open(self, one: Record) -> None:
        after = standing(WRITE, policies=Forbidding(most=500))
        verdict = judge(standing(WRITE), after, one, read_fields=read_amount)
        assert verdict == Verdict("undecided", reason="body_not_kept")

    def test_so_does_a_body_that_nobody_here_can_read(self) -> None:
        after = standing(WRITE, policies=Forbidding(most=500))
        assert judge(standing(WRITE), after, paid(b'{"amount":"1"}')).outcome == "undecided"

    def test_a_request_that_was_refused_before_its_body_was_read_is_open_unless_it_stays_refused(self) -> None:
        policies = Forbidding(most=500)
        one = denied(method="POST", route="/paid", permission=WRITE, body=None)
        assert judge(standing(policies=policies), standing(WRITE, policies=policies), one).outcome == "undecided"
        assert judge(standing(policies=policies), standing(READ, policies=policies), one) == SAME

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"token_id": "t"}, "token_age_not_kept"),
            (user(principal_id="user:[redacted key]"), "caller_not_kept"),
        ],
    )
    def test_what_a_record_does_not_tell_of_the_caller_leaves_it_open(self, fields: Any, reason: str) -> None:
        before, after = (
            standing(READ, roles={"till": {READ}}, policies=policies)
            for policies in (None, Forbidding(address="192.0.2.1", concerned=READ))
        )
        assert judge(before, after, record(**fields)) == Verdict("undecided", reason=reason)
        assert judge(before, standing(), record(**fields)).outcome == "denied"

    def test_policies_that_do_not_concern_the_permission_ask_for_nothing(self) -> None:
        policies = Forbidding(most=500, concerned=READ)
        one = paid(None, body_size=10)
        assert judge(standing(WRITE, policies=policies), standing(policies=policies), one).outcome == "denied"
        assert policies.asked == []


def test_what_is_remembered_is_not_given_to_another() -> None:
    """Every field that the answer depends on differs once between requests that one comparison sees in turn."""
    limits = Limits(business_unit_ids=frozenset({UNIT}))
    before = standing(READ, WRITE, limits=limits, roles={"till": {READ}, "x": set()})
    after = standing(limits=limits, roles={"till": set(), "x": set()})
    comparison = Comparison(TENANT, before, after, TABLE)
    seen = [
        (record(route="/stock"), "denied"),
        (denied(route="/stock"), "same"),
        (record(route="/gone"), "skipped"),
        (record(route="/stock", method="POST"), "skipped"),
        (record(**order(business_unit_id=UNIT)), "denied"),
        (record(**order(business_unit_id=OTHER_UNIT)), "same"),
        (record(**user(route="/stock")), "denied"),
        (record(**user(route="/stock", roles=("x",))), "same"),
        (record(**user(route="/stock", rule="claim:permissions")), "same"),
        (record(**user(route="/stock", issuer_id=new_id())), "skipped"),
        (denied(route="/stock", reason="rate_limited"), "skipped"),
        (record(route="/stock", permission=None), "skipped"),
    ]
    for one, outcome in (*seen, *seen):
        assert comparison.judge(one).outcome == outcome
