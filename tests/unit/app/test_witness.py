"""A witness is open to everybody, and nobody can keep it waiting or make it read without end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hatchpay.app.witness import WitnessApp, serve_witness, witness_vkey
from hatchpay.errors import SettingsError
from hatchpay.store.witness_state import open_witness


@pytest.fixture
def app(tmp_path: Path) -> WitnessApp:
    return WitnessApp(open_witness(tmp_path, "w", (), lambda: 1_790_000_000_000_000), patience_s=0.05)


def status(app: WitnessApp, receive: Any) -> int:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        await app({"type": "http", "method": "POST", "path": "/add-checkpoint"}, receive, send)

    asyncio.run(run())
    assert dict(sent[0]["headers"])[b"connection"] == b"close"
    code: int = sent[0]["status"]
    return code


def test_a_body_that_never_ends_is_given_up(app: WitnessApp) -> None:
    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"o", "more_body": True}

    assert status(app, drip) == 408


def test_a_body_without_end_is_not_read(app: WitnessApp) -> None:
    read = 0

    async def flood() -> dict[str, Any]:
        nonlocal read
        read += 65_536
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    assert status(app, flood) == 413
    assert read < 400_000


@pytest.mark.parametrize("listen", ["8500", ":8500", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:٨"])
def test_where_to_listen_has_one_form(tmp_path: Path, listen: str) -> None:
    with pytest.raises(SettingsError) as caught:
        serve_witness(tmp_path, "w", listen, (), lambda _: None)
    assert caught.value.code == "listen_malformed"


def test_a_logs_key_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        serve_witness(tmp_path, "w", "127.0.0.1:0", [witness_vkey(tmp_path, "w")], lambda _: None)
    assert caught.value.code == "vkey_malformed"
