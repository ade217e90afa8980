"""A write is in force before anybody hears of it, whatever becomes of its caller."""

from __future__ import annotations

import threading
from typing import Any, cast

import anyio
import pytest

from hatchpay.control.calls import read, write
from hatchpay.control.services import Services


def services_with(changed: Any) -> Services:
    nothing = cast(Any, None)
    return Services(
        keys=nothing,
        roles=nothing,
        permissions=nothing,
        policies=nothing,
        units=nothing,
        tenants=nothing,
        issuers=nothing,
        tokens=nothing,
        key_authenticator=nothing,
        token_authenticator=nothing,
        published=nothing,
        history=nothing,
        changed=changed,
    )


def test_use_cases_run_beside_the_event_loop() -> None:
    async def main() -> None:
        assert await read(threading.get_ident) != threading.get_ident()

        async def changed() -> None:
            assert threading.get_ident() == loop_thread

        loop_thread = threading.get_ident()
        assert await write(services_with(changed), threading.get_ident) != loop_thread

    anyio.run(main)


def test_a_caller_who_hangs_up_leaves_no_change_behind_that_is_not_in_force() -> None:
    steps: list[str] = []
    begun, may_end = threading.Event(), threading.Event()

    def use_case() -> None:
        steps.append("stored")
        begun.set()
        may_end.wait(5)

    async def changed() -> None:
        await anyio.sleep(0)
        steps.append("in force")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(write, services_with(changed), use_case)
            await anyio.to_thread.run_sync(begun.wait)
            group.cancel_scope.cancel()
            may_end.set()

    anyio.run(main)
    assert steps == ["stored", "in force"]


def test_a_use_case_that_fails_is_not_put_into_force() -> None:
    async def changed() -> None:
        raise AssertionError

    def use_case() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        anyio.run(write, services_with(changed), use_case)
