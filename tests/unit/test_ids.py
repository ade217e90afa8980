"""Identifiers are UUIDv7 in their one canonical form, ordered by time."""

from __future__ import annotations

import re
import time
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.ids import PLATFORM_TENANT_ID, is_uuid, new_id

# RFC 9562, appendix A.6.
RFC_EXAMPLE = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_a_new_id_is_a_uuid_of_version_7_with_the_time_of_now() -> None:
    before = time.time_ns() // 1_000_000
    text = new_id()
    after = time.time_ns() // 1_000_000
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", text)
    assert before - 1 <= int(text.replace("-", "")[:12], 16) <= after + 1


def test_ids_of_one_process_are_unique_and_sort_in_the_order_of_their_making() -> None:
    ids = [new_id() for _ in range(5_000)]
    assert ids == sorted(set(ids))


@settings(deadline=None)
@given(st.uuids())
def test_the_canonical_form_of_every_uuid_is_one(value: uuid.UUID) -> None:
    assert is_uuid(str(value))


@pytest.mark.parametrize("text", [RFC_EXAMPLE, PLATFORM_TENANT_ID, new_id()], ids=["example", "platform", "new"])
def test_what_we_emit_is_accepted(text: str) -> None:
    assert is_uuid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        RFC_EXAMPLE.upper(),
        RFC_EXAMPLE.replace("-", ""),
        f"{{{RFC_EXAMPLE}}}",
        f"urn:uuid:{RFC_EXAMPLE}",
        f" {RFC_EXAMPLE}",
        f"{RFC_EXAMPLE}\n",
        RFC_EXAMPLE[:-1],
        RFC_EXAMPLE + "0",
        RFC_EXAMPLE.replace("0", "O"),
        RFC_EXAMPLE[:-1] + "٣",
        "017f22e27-9b0-7cc3-98c4-dc0c0c07398f",
    ],
)
def test_every_other_spelling_of_a_uuid_is_refused(text: str) -> None:
    assert not is_uuid(text)


def test_the_platforms_tenant_can_never_be_drawn() -> None:
    assert int(PLATFORM_TENANT_ID.replace("-", "")[:12], 16) == 0
