"""What may be written as a policy, and where it is wrong when it may not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hatchpay.access.policy_check import Vocabulary, check
from hatchpay.access.policy_source import read
from hatchpay.errors import InvalidInput

PAY, READ, COUNT = "shop.payments.create", "shop.payments.read", "shop.counts.create"
KNOWN = Vocabulary(
    frozenset({PAY, READ, COUNT}),
    {PAY: {"amount": "decimal", "currency": "string"}, COUNT: {"amount": "long"}},
)
PAYING = f'forbid(principal, action == Action::"{PAY}", resource)'
SCOPE = "forbid(principal, action, resource)"


def refused(text: str) -> tuple[str, int | None, int | None]:
    with pytest.raises(InvalidInput) as caught:
        check(text, KNOWN)
    error = caught.value
    assert error.field == "text"
    assert 0 < len(error.detail) <= 300
    return error.code, error.line, error.column


def place(text: str) -> tuple[str, int, int]:
    """`text` with `^` before what is wrong with it, and the line and column of that, counted from 1."""
    before, mark, after = text.partition("^")
    assert mark
    lines = before.split("\n")
    return before + after, len(lines), len(lines[-1]) + 1


@pytest.mark.parametrize(
    "text",
    [
        f"{SCOPE};",
        f"// why\n{SCOPE}; // and more\n\n{SCOPE} when {{ true }};",
        f'@id("x") @reason("y") {SCOPE};',
        f'{PAYING} when {{ context.body.amount.greaterThan(decimal("500.00")) }};',
        f'{PAYING} unless {{ ["USD", "CHF"].contains(context.body.currency) }};',
        f"{SCOPE} when {{ context has token_age && context.token_age > 60 }};",
        f'{SCOPE} unless {{ context has local && context.local.hour >= 8 && context.local.date like "2026-*" }};',
        f'{SCOPE} when {{ context.time.toTime() < duration("8h") }};',
        f'{SCOPE} unless {{ context.client_ip.isInRange(ip("10.0.0.0/8")) }};',
        f'{SCOPE} when {{ action == Action::"{PAY}" && context.body.amount.lessThan(decimal("1.0")) }};',
        'forbid(principal is User in Role::"r", action, resource is BusinessUnit in Tenant::"t");',
        f'{SCOPE} when {{ "; // not a comment }} \\" {{" == context.environment }};',
    ],
)
def test_what_the_schema_allows_is_taken(text: str) -> None:
    assert len(check(text, KNOWN)) == text.count("forbid")


@pytest.mark.parametrize(
    "marked",
    [
        "^forbid(principal, action, resource)",
        f"{SCOPE};\n\n  ^forbid(principal, action",
        "forbid(principal,\n  ^actoin, resource);",
        "forbid(principal, ^resource, action);",
        "forbid(principal, action, resource, ^more);",
        f"{SCOPE} ^wen {{ true }};",
        f'{SCOPE}\nwhen {{\n  context.environment ^= "live"\n}};',
        f"{SCOPE} when {{ context.environment == ^}};",
        f"{SCOPE} when {{ true }} ^}};",
        f"{SCOPE};^;",
        f"{SCOPE}\nforbid^(principal, action, resource);",
        f"/{SCOPE};".replace("/", "^/"),
        f"{SCOPE} when {{ context.environment == ^'live' }};",
        f'{SCOPE} when {{ context.environment == ^"live }};',
        f'{SCOPE} when {{ ^"\\q" == context.environment }};',
        f"{SCOPE} when {{ ^99999999999999999999 == 1 }};",
        f'{SCOPE} when {{ ^uuid("x") }};',
        f"{SCOPE} when {{ context.client_ip.^isLocal() }};",
        f'// ünïcödé 🎟\n{SCOPE} when {{ "🎟" ^? }};',
        f"{SCOPE} when {{ {'(' * 19}^{'(' * 5000}",
        f"{SCOPE} when {{ {'(' * 19}^({'true' + ')' * 20} }};",
    ],
)
def test_a_syntax_error_is_shown_where_it_is(marked: str) -> None:
    text, line, column = place(marked)
    assert refused(text) == ("policy_invalid", line, column)


@pytest.mark.parametrize(
    "marked",
    [
        'forbid(principal, action == ^Action::"shop.payments.fly", resource);',
        f'forbid(principal, action in [Action::"{PAY}", ^Action::"nothing"], resource);',
        f'{SCOPE} when {{ action == ^Action::"shop.payments.fly" }};',
        'forbid(principal == ^Key::"x", action, resource);',
        f"{SCOPE};\n{SCOPE}\nwhen {{ principal is ^Robot }};",
        f'{SCOPE} when {{ principal.^name == "x" }};',
        f'{SCOPE} when {{ context.^adress == "x" }};',
        f'{PAYING} when {{ context.^body.amonut.lessThan(decimal("1.0")) }};',
        f'{SCOPE} when {{ context.^body.currency == "USD" }};',
        f"{SCOPE} when {{ context.^local.hour < 8 }};",
        f"{SCOPE} when {{ context.^token_age > 8 }};",
        f'{SCOPE} when {{ ip(^"10.0.0.0/99").isLoopback() }};',
        f"{SCOPE} when {{ ^context == {{}} }};",
        f"{PAYING} when {{ ^context.body == {{}} }};",
        f"^{PAYING} when {{ context.body.amount > 500 }};",
        f"{SCOPE}; ^{SCOPE} when {{ context.environment == 1 }};",
        f"^{SCOPE} when {{ context has body && context.body.amount > 5 }};",
        '^forbid(principal in Tenant::"t", action, resource);',
    ],
)
def test_what_the_schema_does_not_allow_is_shown_by_the_name_that_cedar_quotes(marked: str) -> None:
    text, line, column = place(marked)
    assert refused(text) == ("policy_invalid", line, column)


@pytest.mark.parametrize(
    "marked",
    [
        "^permit(principal, action, resource);",
        f"{SCOPE};\n ^permit(principal, action, resource);",
        f"{SCOPE};//\r^permit(principal, action, resource);",
    ],
)
def test_a_permit_is_refused_wherever_it_hides(marked: str) -> None:
    text, line, column = place(marked)
    assert refused(text) == ("policy_permits", line, column)


@pytest.mark.parametrize("text", ["", " \n", "// forbid(principal, action, resource);"])
def test_a_text_without_statements_is_refused(text: str) -> None:
    assert refused(text)[0] == "policy_invalid"


@pytest.mark.parametrize(
    "marked",
    [
        f'{SCOPE} when {{ context.environment ^like "{"a" * 257}" }};',
        f'{SCOPE} when {{ context.environment ^like "{"a" * 256}*" }};',
        f'{SCOPE} when {{ context.environment ^like "{"*a" * 9}" }};',
        f'{SCOPE} when {{ ^"{"a" * 300}" like "*b" }};'.replace("^", "").replace(" like", " ^like"),
        f'{SCOPE} when {{ (if true then context.environment else "aa") ^like "a" }};',
        f'{SCOPE} when {{ {{x: "aa"}}.x ^like "a" }};',
        f'{SCOPE} when {{ context.environment like "a" && "like" == "x" }} unless {{ "x"\n ^like "x" }};',
        f'{SCOPE};\n{PAYING} unless {{ context.body.currency ^like "{"*" * 9}" }};',
    ],
)
def test_a_like_that_could_take_long_is_refused_where_it_is(marked: str) -> None:
    text, line, column = place(marked)
    assert refused(text) == ("policy_invalid", line, column)
    with pytest.raises(InvalidInput):
        read(text)


@pytest.mark.parametrize("pattern", ["a" * 256, "*a" * 8, "\\*" * 9, "USD*", ""])
def test_a_like_of_a_member_of_the_context_is_taken(pattern: str) -> None:
    assert check(f'{PAYING} when {{ context.body.currency like "{pattern}" }};', KNOWN)


def test_templates_are_refused() -> None:
    text, line, column = place("forbid(principal == ^?principal, action, resource);")
    assert refused(text) == ("policy_invalid", line, column)


def test_a_statement_has_a_largest_size() -> None:
    comment = "/" * 40_000
    fits, too_long = (f"{SCOPE} //{comment}\n//{'é' * count}\nwhen {{ true }};" for count in (100, 13_000))
    assert check(fits, KNOWN)
    assert refused(too_long) == ("policy_invalid", 1, 1)


@pytest.mark.parametrize("count", [50, 55])
def test_chains_of_some_length_can_be_evaluated_whatever_the_stack(count: int) -> None:
    chain = " || ".join(['context.environment == "test"'] * count)
    assert check(f"{SCOPE} when {{ {chain} }} when {{ {chain} }};", KNOWN)


BOMBS = {
    "parentheses": ("(", ")"),
    "sets": ("[", "]"),
    "records": ("{a: ", "}"),
    "calls": ("context.a.contains(", ")"),
    "ifs": ("if true then ", " else false"),
    "or": ("context.a || ", ""),
    "and": ("context.a && ", ""),
    "sums": ("1 + ", ""),
    "products": ("2 * ", ""),
    "not": ("!", ""),
    "minus": ("-", ""),
    "members": ("context", ".a"),
    "indices": ("context", '["a"]'),
    "clauses": ("true } when { ", ""),
    "open": ("(((", ""),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_nesting_ends_the_process_even_on_a_small_stack(bomb: str) -> None:
    opening, closing = BOMBS[bomb]
    # In a process of its own: one that falls is not to take the tests with it. 60,000 characters, and as many as fit.
    script = f"""
import threading
from hatchpay.access.policy_check import Vocabulary, check
from hatchpay.errors import InvalidInput

opening, closing = {opening!r}, {closing!r}

known = Vocabulary(frozenset({{"a.b.c"}}), {{}})

def attack():
    for count in (10, 19, 21, 36, 55, 64, 100, 400, 60_000 // len(opening + closing)):
        start = opening * count if opening != "context" else opening
        for text in (start + "true" + closing * count if opening != "context" else start + closing * count, start):
            try:
                check("forbid(principal, action, resource) when {{ " + text + " }};", known)
            except InvalidInput:
                pass
    print("alive")

threading.stack_size(512 * 1024)
thread = threading.Thread(target=attack)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_what_costs_too_much_to_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hatchpay.access.policy_check._MOST_WORK", 30)
    assert check(f"{SCOPE};" * 3, KNOWN)
    assert refused(f"{SCOPE};" * 4) == ("policy_invalid", 1, 3 * len(f"{SCOPE};") + 1)


def test_a_check_costs_the_same_for_many_permissions(monkeypatch: pytest.MonkeyPatch) -> None:
    many = Vocabulary(frozenset(f"shop.things.do{number}" for number in range(500)), {})
    monkeypatch.setattr("hatchpay.access.policy_check._MOST_WORK", 30)
    assert check(f"{SCOPE};" * 3, many)


def test_reading_keeps_what_a_statement_asks_for() -> None:
    (forbid,) = read(
        f"""forbid(principal == ApiKey::"k", action in [Action::"{PAY}", Action::"{READ}"], resource in Tenant::"t")
        when {{ context has local && context["client_ip"].isInRange(ip("10.0.0.0/8")) && principal in [Role::"r"] }}
        unless {{ context.body.amount == decimal("1.0") && context.body has note }};"""
    )
    assert forbid.actions == {PAY, READ}
    assert forbid.context == {"local", "client_ip", "body"}
    assert forbid.body == ("amount", "note")
    assert forbid.entities == {("ApiKey", "k"), ("Tenant", "t"), ("Role", "r")}
    assert forbid.addresses == {"10.0.0.0/8"}
    assert not forbid.by_action
