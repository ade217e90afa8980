"""Nobody is believed to have passed the gate unless the gate says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request

from hatchpay.admin.views import Actor
from hatchpay.control.caller import SCOPE_KEY, actor
from hatchpay.errors import Unavailable
from hatchpay.identity.principal import Principal

PRINCIPAL = Principal("k", "api_key", "t", "k", (), {})


def request(**scope: Any) -> Request:
    return Request({"type": "http", "headers": [], **scope})


def test_an_actor_is_the_proven_caller_in_its_request() -> None:
    caller = SimpleNamespace(principal=PRINCIPAL, request_id="r", client_ip="192.0.2.1")
    assert actor(request(**{SCOPE_KEY: caller})) == Actor(PRINCIPAL, "r", "192.0.2.1")


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {SCOPE_KEY: None},
        {SCOPE_KEY: {"principal": PRINCIPAL, "request_id": "r"}},
        {SCOPE_KEY: SimpleNamespace(principal=PRINCIPAL)},
        {SCOPE_KEY: SimpleNamespace(principal=PRINCIPAL, request_id="")},
        {SCOPE_KEY: SimpleNamespace(principal=PRINCIPAL, request_id=None)},
        {SCOPE_KEY: SimpleNamespace(request_id="r")},
        {SCOPE_KEY: SimpleNamespace(principal=None, request_id="r")},
        {SCOPE_KEY: SimpleNamespace(principal="admin", request_id="r")},
    ],
)
def test_anything_less_is_nobody(scope: dict[str, Any]) -> None:
    with pytest.raises(Unavailable) as caught:
        actor(request(**scope))
    assert caught.value.code == "gate_missing"
