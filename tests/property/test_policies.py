"""The compiled judgement is Cedar's own of the whole text at once, whatever the index leaves out of an evaluation.

The reference knows nothing of indices: it gives Cedar one text with all statements, the whole context and all entities,
by the public function of the library. A set refuses where a forbid matches, or where any statement fails.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import cedarpy
import hypothesis.strategies as st
from hypothesis import given, settings
from tests.support.policies import (
    AMOUNT,
    BOOKS,
    CURRENCY,
    KEY,
    MONDAY_NOON,
    PAY,
    READ,
    ROLE_IDS,
    TENANT,
    TILL,
    UNIT,
    asked,
    policies,
)

from hatchpay.access.policy_text import split, tokens
from hatchpay.access.rules import Asked, FieldValue
from hatchpay.identity.principal import Limits, Principal, TokenUse

ZONE = "America/Los_Angeles"
OTHER = "017f22e2-79b0-7cc3-98c4-dc0c0c073999"
FIELDS = {PAY: (AMOUNT, CURRENCY), READ: ()}

principals = st.sampled_from(
    [
        "principal",
        "principal is User",
        *(f'principal == {kind}::"{name}"' for kind in ("ApiKey", "User") for name in (KEY, "alice")),
        *(f'principal in Role::"{role}"' for role in (TILL, BOOKS, OTHER)),
        f'principal is ApiKey in Role::"{TILL}"',
    ]
)
actions = st.sampled_from(
    [
        "action",
        f'action == Action::"{PAY}"',
        f'action == Action::"{READ}"',
        f'action in [Action::"{PAY}", Action::"shop.things.do"]',
        f'action in [Action::"{READ}", Action::"{PAY}"]',
    ]
)
resources = st.sampled_from(
    ["resource", f'resource == BusinessUnit::"{UNIT}"', f'resource in Tenant::"{TENANT}"', "resource is Tenant"]
)
atoms = st.sampled_from(
    [
        "true",
        "false",
        'context.client_ip.isInRange(ip("192.0.2.0/28"))',
        'context["environment"] == "test"',
        'context.time < datetime("2026-11-23T12:00:01Z")',
        "context.token_age > 60",
        "context has token_age",
        "context has local && context.local.weekday == 1",
        "context.local.hour == 4",
        'context.principal_id like "*alice*"',
        'context.authentication_method == "token"',
        'context.body.amount.lessThan(decimal("10.00"))',
        'context has body && context.body.currency == "USD"',
        f'action == Action::"{READ}"',
        f'[Role::"{TILL}", Role::"{OTHER}"].contains(Role::"{BOOKS}")',
        f'principal in [Role::"{BOOKS}"]',
        "9223372036854775807 + 1 == 0",
        'principal.name == "x"',
    ]
)
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, inner, inner).map(lambda parts: "(if {} then {} else {})".format(*parts)),
    ),
    max_leaves=5,
)
clauses = st.lists(
    st.tuples(st.sampled_from(["when", "unless"]), expressions).map(lambda pair: f"{pair[0]} {{ {pair[1]} }}"),
    max_size=2,
)
statements = st.tuples(principals, actions, resources, clauses).map(
    lambda parts: f"forbid({parts[0]}, {parts[1]}, {parts[2]}) {' '.join(parts[3])};"
)
texts = st.lists(st.lists(statements, min_size=1, max_size=3).map("\n// ; forbid {\n".join), min_size=1, max_size=4)
limits = st.sampled_from([Limits(), Limits(environment="test")])
tokens_used = st.sampled_from([None, TokenUse(id="t"), TokenUse(id="t", issued_us=MONDAY_NOON - 61_000_000)])
callers = st.builds(
    lambda is_key, roles, bounds, token: Principal(
        KEY if is_key else "user:alice",
        "api_key" if is_key else "user",
        TENANT,
        KEY if is_key else None,
        tuple(sorted(roles)),
        {},
        bounds,
        token,
    ),
    st.booleans(),
    st.sets(st.sampled_from(["till", "books"])),
    limits,
    tokens_used,
)
bodies = st.fixed_dictionaries(
    {}, optional={"amount": st.sampled_from(["1.00", "10.00", "99"]), "currency": st.sampled_from(["USD", "CHF"])}
)
requests = st.builds(
    lambda permission, caller, at, ip, zone, body: asked(
        permission, caller, zone=zone, now_us=MONDAY_NOON + at, client_ip=ip, fields=FIELDS[permission], body=body
    ),
    st.sampled_from([PAY, READ]),
    callers,
    st.sampled_from([0, 1_000_000, 86_400_000_000]),
    st.sampled_from([None, "192.0.2.1", "192.0.2.99"]),
    st.sampled_from([None, ZONE]),
    bodies,
)


@settings(max_examples=300, deadline=None)
@given(texts, st.lists(requests, min_size=1, max_size=4))
def test_it_decides_as_cedar_does_of_the_whole_text_at_once(texts: list[str], wanted: list[Asked]) -> None:
    compiled = policies(*texts, with_body=frozenset({PAY}))
    whole = "permit(principal, action, resource);\n" + "\n".join(texts)
    # Twice: the second time from what the first has left behind.
    for request in wanted * 2:
        result = cedarpy.is_authorized(plain(request), whole, entities(request))
        decision = compiled.judge(request)
        assert (decision is None) == (result.allowed and not result.diagnostics.errors)
        if decision is not None:
            forbids = not result.allowed
            assert (decision.reason == "policy_forbids") == forbids
            assert decision.rule is not None
            failed = [error.split("`")[1] for error in result.diagnostics.errors]
            deciding = result.diagnostics.reasons if forbids else failed
            first = min(int(name.removeprefix("policy")) for name in deciding)
            assert decision.rule == f"policy:{owner(texts, first)}"


def owner(texts: list[str], number: int) -> str:
    """The policy that has the statement which Cedar calls `policy<number>`; the permit is the first."""
    counts = [text.count("forbid(") for text in texts]
    return next(f"policy-{index}" for index in range(len(texts)) if number <= sum(counts[: index + 1]))


def plain(request: Asked) -> dict[str, object]:
    """The request with all of its context, written down here once more."""
    caller, token = request.principal, request.principal.token
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=request.now_us)
    context: dict[str, object] = {
        "time": {"__extn": {"fn": "datetime", "arg": f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"}},
        "environment": caller.limits.environment,
        "authentication_method": "token" if token else "api_key",
        "principal_id": name_of(caller)[1],
    }
    if request.client_ip:
        context["client_ip"] = {"__extn": {"fn": "ip", "arg": request.client_ip}}
    if token and token.issued_us is not None:
        context["token_age"] = (request.now_us - token.issued_us) // 1_000_000
    if request.unit:
        local = moment.astimezone(ZoneInfo(ZONE))
        weekday = int(f"{local:%u}")
        context["local"] = {"hour": local.hour, "minute": local.minute, "weekday": weekday, "date": f"{local:%Y-%m-%d}"}
    permission = request.match.route.permission
    if permission == PAY:
        context["body"] = {name: body_value(name, value) for name, value in request.body.items()}
    kind, name = name_of(caller)
    return {
        "principal": {"type": kind, "id": name},
        "action": {"type": "Action", "id": permission},
        "resource": {"type": "BusinessUnit", "id": UNIT} if request.unit else {"type": "Tenant", "id": TENANT},
        "context": context,
    }


def body_value(name: str, value: FieldValue) -> object:
    text = str(value)
    if name == "currency":
        return text
    return {"__extn": {"fn": "decimal", "arg": text if "." in text else f"{text}.0"}}


def name_of(caller: Principal) -> tuple[str, str]:
    return ("ApiKey", KEY) if caller.kind == "api_key" else ("User", "alice")


def entities(request: Asked) -> list[dict[str, object]]:
    kind, name = name_of(request.principal)
    held = [{"type": "Role", "id": ROLE_IDS[role]} for role in request.principal.roles]
    return [
        {"uid": {"type": kind, "id": name}, "attrs": {}, "parents": held},
        {"uid": {"type": "BusinessUnit", "id": UNIT}, "attrs": {}, "parents": [{"type": "Tenant", "id": TENANT}]},
        {"uid": {"type": "Tenant", "id": TENANT}, "attrs": {}, "parents": []},
    ]


noise = st.text(st.sampled_from('a1_"\\/;{}()&|=!<>.,:@?#é\n\r\t 🎟'), max_size=60)


@given(noise)
def test_cutting_a_text_into_words_and_statements_loses_nothing_but_space_and_comments(text: str) -> None:
    words = list(tokens(text))
    assert all(text[word.start : word.end] == word.text for word in words)
    starts, ends = [*(w.start for w in words), len(text)], [0, *(w.end for w in words)]
    between = [text[left:right] for left, right in zip(ends, starts, strict=True)]
    assert all(gap == "" or gap.isspace() or "//" in gap for gap in between)
    assert [word for statement in split(text) for word in statement.words] == words
    for one in split(text):
        assert one.text == text[one.start : one.start + len(one.text)]


@given(noise)
def test_no_text_makes_reading_fail_but_with_a_refusal(text: str) -> None:
    from hatchpay.access.policy_check import Vocabulary, check
    from hatchpay.errors import InvalidInput

    for one in (text, f"forbid(principal, action, resource) when {{ {text} }};"):
        try:
            check(one, Vocabulary(frozenset({PAY}), {}))
        except InvalidInput as error:
            assert error.line is None or 1 <= error.line <= one.count("\n") + 1
            assert error.column is None or 1 <= error.column <= len(one) + 1
