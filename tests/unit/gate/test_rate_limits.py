"""Who calls too often is told so, and when to come again; and what counts as a call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from hatchpay.access.rate_limit import Level, Spent
from hatchpay.access.routes import Route, RouteTable
from hatchpay.errors import MalformedRequest, Unavailable
from hatchpay.gate.addresses import Proxies
from hatchpay.gate.admission import Admission, Verdict
from hatchpay.gate.allowance import PAUSES_S, Meter
from hatchpay.gate.problems import problem_messages
from hatchpay.gate.request import RequestHead
from hatchpay.identity.authenticator import Authenticated, Invalid, Outcome, Unsettled
from hatchpay.identity.buckets import LimitSource, buckets_of_key
from hatchpay.identity.principal import Principal, RateLimit

NOW = 1_790_000_000_000_000
ROUTES = RouteTable(
    [
        Route(method="GET", template="/orders", permission="shop.orders.read"),
        Route(method="GET", template="/secrets", permission="shop.secrets.read"),
        Route(method="GET", template="/status", access="open"),
        Route(method="POST", template="/token", access="self_authenticating"),
    ]
)
BUCKETS = buckets_of_key(
    "t", "k", (RateLimit(100, 60),), [LimitSource("role:till", "r", (RateLimit(2, 10), RateLimit(5000, 86_400)))]
)
LIMITED = Principal("k", "api_key", "t", "k", ("till",), {"shop.orders.read": "role:till"}, buckets=BUCKETS)
FREE = Principal("f", "api_key", "t", "f", (), {"shop.orders.read": "role:till"})
GOOD = Spent((Level(0, 0, 99, 600_000), Level(0, 0, 1, 5_000_000), Level(0, 0, 4711, 17_000_001)))
EMPTY = Spent((Level(0, 0, 0, 600_000), Level(0, 0, 0, 4_000_001), Level(0, 0, 5000, 0)), (0, 1))
FAILURE = Unavailable("the disk is full", code="rate_limits_unavailable")


class FakeCounters:
    """Gives its answers one after the other, the last one again and again."""

    def __init__(self, *answers: Spent | Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, int]] = []

    def spend(self, buckets: Sequence[Any], now_us: int) -> Spent | None:
        self.asked.append((len(buckets), now_us))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Door:
    """Knows one caller by any credential, or gives other outcomes first."""

    bearer_only = False

    def __init__(self, principal: Principal, *first: Outcome) -> None:
        self.principal = principal
        self.first = list(first)

    def authenticate(self, credential: str) -> Outcome:
        return self.first.pop(0) if self.first else Authenticated(self.principal, 1)

    def claimed(self, text: str) -> Principal | None:
        return self.principal


def admission(
    counters: FakeCounters, principal: Principal = LIMITED, *first: Outcome, allow: bool = False, **more: Any
) -> Admission:
    meter = Meter(counters, allow_on_failure=allow)
    return Admission([Door(principal, *first)], ROUTES, Proxies(()), clock=lambda: NOW, meter=meter, **more)


def head(path: str = "/orders", method: str = "GET") -> RequestHead:
    return RequestHead(
        {
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "client": ("203.0.113.9", 1),
            "headers": [(b"x-api-key", b"any")],
        }
    )


def settled(one: Admission, request: RequestHead) -> Verdict:
    verdict = one.judge(request)
    asyncio.run(one.settle(request, verdict))
    return verdict


def told(verdict: Verdict) -> tuple[int, str, str, str | None]:
    assert verdict.refusal is not None
    decision = verdict.decision
    assert decision.outcome == "deny"
    return verdict.refusal.status, verdict.refusal.code, decision.reason, decision.rule


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody really waits; the waits that were asked for."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("hatchpay.gate.admission.asyncio.sleep", sleep)
    return waits


def test_whoever_has_tokens_left_is_let_in_and_told_how_many() -> None:
    counters = FakeCounters(GOOD)
    verdict = admission(counters).judge(head())
    assert verdict.refusal is None
    assert (verdict.decision.reason, verdict.decision.rule) == ("role_grants", "role:till")
    assert counters.asked == [(3, NOW)]
    # draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4; seconds are rounded up.
    assert dict(verdict.allowance) == {
        b"ratelimit-policy": b'"key";q=100;w=60, "role:till/10";q=2;w=10, "role:till/86400";q=5000;w=86400',
        b"ratelimit": b'"key";r=99;t=1, "role:till/10";r=1;t=5, "role:till/86400";r=4711;t=18',
    }


def test_whoever_has_none_is_refused_until_the_last_of_them_has_one() -> None:
    verdict = admission(FakeCounters(EMPTY)).judge(head())
    assert told(verdict) == (429, "rate_limited", "rate_limited", "limit:role:till")
    assert verdict.refusal is not None
    start, _ = problem_messages(verdict.refusal, "request", verdict.allowance)
    headers = dict(start["headers"])
    assert start["status"] == 429
    assert headers[b"retry-after"] == b"5"
    assert headers[b"ratelimit"] == b'"key";r=0;t=1, "role:till/10";r=0;t=5, "role:till/86400";r=5000'
    assert headers[b"content-type"] == b"application/problem+json"
    assert b"www-authenticate" not in headers


@pytest.mark.parametrize(
    ("path", "method", "counts"),
    [
        ("/orders", "GET", True),
        ("/orders", "HEAD", True),
        ("/secrets", "GET", True),
        ("/nowhere", "GET", True),
        ("/orders", "DELETE", True),
        ("/status", "GET", False),
        ("/token", "POST", False),
    ],
)
def test_what_needs_a_permission_counts_granted_or_not(path: str, method: str, counts: bool) -> None:
    counters = FakeCounters(GOOD)
    verdict = admission(counters).judge(head(path, method))
    assert len(counters.asked) == counts
    assert bool(verdict.allowance) == counts


@pytest.mark.parametrize(("path", "status"), [("/secrets", 403), ("/nowhere", 403)])
def test_what_would_be_forbidden_anyway_is_so_until_it_is_too_often(path: str, status: int) -> None:
    one = admission(FakeCounters(GOOD, EMPTY))
    first, second = one.judge(head(path)), one.judge(head(path))
    assert first.refusal is not None
    assert first.refusal.status == status
    assert first.allowance
    assert told(second)[0] == 429


def test_what_cannot_be_read_or_proven_does_not_count() -> None:
    counters = FakeCounters(EMPTY)
    one = admission(counters, LIMITED, Invalid("key_secret_wrong", claimed=LIMITED))
    assert told(one.judge(head()))[0] == 401
    assert told(one.judge(head(), MalformedRequest("no", code="malformed_http")))[0] == 400
    assert told(one.judge(head("/a/../orders")))[0] == 400
    assert counters.asked == []


def test_while_nothing_is_known_for_sure_nothing_is_counted() -> None:
    counters = FakeCounters(GOOD)
    assert told(admission(counters, is_current=lambda: False).judge(head()))[:2] == (503, "directory_unavailable")
    assert counters.asked == []


def test_nobody_without_limits_is_counted_or_told_anything() -> None:
    counters = FakeCounters(FAILURE)
    verdict = admission(counters, FREE).judge(head())
    assert verdict.refusal is None
    assert counters.asked == []
    assert verdict.allowance == ()


def test_a_request_that_is_judged_twice_is_counted_once() -> None:
    async def wait() -> None:
        return None

    counters = FakeCounters(GOOD)
    one = admission(counters, LIMITED, Unsettled(Invalid("token_kid_unknown", "invalid_token"), wait))
    verdict = settled(one, head())
    assert verdict.refusal is None
    assert len(counters.asked) == 1


def test_while_others_are_counted_a_request_waits_and_is_counted_once(no_pauses: list[float]) -> None:
    counters = FakeCounters(None, None, None, GOOD)
    one = admission(counters)
    verdict = one.judge(head())
    assert verdict.is_open
    assert told(verdict)[:2] == (503, "rate_limits_unavailable")
    asyncio.run(one.settle(head(), verdict))
    assert (verdict.refusal, verdict.is_open) == (None, False)
    assert verdict.decision.outcome == "allow"
    assert no_pauses == [0.001, 0.002, 0.004]
    assert verdict.allowance


def test_whoever_loses_its_right_while_it_waits_is_not_let_in(no_pauses: list[float]) -> None:
    counters = FakeCounters(None, GOOD)
    one = admission(counters, LIMITED, Authenticated(LIMITED, 1), Invalid("key_disabled", claimed=LIMITED))
    verdict = settled(one, head())
    assert told(verdict)[:3] == (401, "credential_invalid", "key_disabled")
    assert verdict.principal is None
    assert len(counters.asked) == 1


def test_nobody_waits_for_much_longer_than_a_second(no_pauses: list[float]) -> None:
    verdict = settled(admission(FakeCounters(None)), head())
    assert told(verdict) == (503, "rate_limits_unavailable", "rate_limits_unavailable", None)
    assert no_pauses == list(PAUSES_S)
    assert 1 <= sum(PAUSES_S) < 1.1


def test_where_nothing_can_be_counted_nobody_with_a_limit_is_let_in_by_default() -> None:
    for one in (admission(FakeCounters(FAILURE)), Admission([Door(LIMITED)], ROUTES, Proxies(()))):
        verdict = one.judge(head())
        assert told(verdict)[:2] == (503, "rate_limits_unavailable")
        assert not verdict.is_open
        assert verdict.refusal is not None
        start, _ = problem_messages(verdict.refusal, "request", verdict.allowance)
        assert dict(start["headers"])[b"retry-after"] == b"1"


@pytest.mark.parametrize("answer", [FAILURE, None])
def test_or_everybody_is_where_the_operator_says_so(no_pauses: list[float], answer: Exception | None) -> None:
    verdict = settled(admission(FakeCounters(answer), allow=True), head())
    assert verdict.refusal is None
    assert verdict.decision.rule == "role:till"
    assert verdict.allowance == ()
    # That is no way around what needs a permission.
    assert told(settled(admission(FakeCounters(answer), allow=True), head("/secrets")))[:2] == (
        403,
        "permission_missing",
    )


def test_a_failure_is_told_to_the_operator_once_until_it_has_passed(caplog: pytest.LogCaptureFixture) -> None:
    one = admission(FakeCounters(FAILURE, FAILURE, GOOD, FAILURE))
    for _ in range(4):
        one.judge(head())
    assert [record.levelno for record in caplog.records if record.name == "hatchpay.limits"] == [logging.ERROR] * 2
    assert "the disk is full; requests with a limited rate are refused" in caplog.text
