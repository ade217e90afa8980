"""A write is in force before anybody hears of it, whatever becomes of its caller."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import anyio
import pytest
from anyio import CapacityLimiter

from hatchpay.control.calls import read, read_long, write, write_checked
from hatchpay.control.services import Services


def services_with(changed: Any) -> Services:
    return Services(**{**dict.fromkeys(Services.__dataclass_fields__), "changed": changed})


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


def test_policies_are_written_apart_from_walks_through_the_record() -> None:
    async def changed() -> None:
        pass

    async def main() -> None:
        walking, checking = CapacityLimiter(1), CapacityLimiter(1)
        services = dataclasses.replace(services_with(changed), walking=walking, checking=checking)

        def taken() -> tuple[int, int]:
            return walking.borrowed_tokens, checking.borrowed_tokens

        assert await write_checked(services, taken) == (0, 1)
        assert await read_long(services, taken) == (1, 0)

    anyio.run(main)


def test_a_use_case_that_fails_is_not_put_into_force() -> None:
    async def changed() -> None:
        raise AssertionError

    def use_case() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        anyio.run(write, services_with(changed), use_case)
