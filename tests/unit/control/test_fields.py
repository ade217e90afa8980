"""What bodies and queries share: times, ids, addresses, and how a wrong field is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatchpay.clock import format_time
from hatchpay.control.fields import check_text, check_uuid, path_of, time_us
from hatchpay.errors import InvalidInput

LATEST_US = 253_402_214_400_000_000


@given(st.integers(0, LATEST_US))
def test_every_time_that_we_write_can_be_given_back(us: int) -> None:
    assert time_us(format_time(us)) == us


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2026-01-31T09:30:00+02:00", "2026-01-31T07:30:00Z"),
        ("2026-01-31T09:30:00.5Z", "2026-01-31T09:30:00.500000Z"),
        ("2026-01-31T09:30:00.123456789Z", "2026-01-31T09:30:00.123456Z"),
    ],
)
def test_a_time_may_have_another_offset_or_precision(text: str, same_as: str) -> None:
    assert time_us(text) == time_us(same_as)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31 09:30:00Z",
        "20260131T093000Z",
        "2026-W05-6T09:30:00Z",
        "2026-02-30T09:30:00Z",
        "2026-01-31T25:00:00Z",
        "2026-01-31T09:30:00Z\n",
        "٢٠٢٦-01-31T09:30:00Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_rfc_3339_time_since_1970_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        time_us(text)


def test_an_id_is_only_taken_in_the_form_in_which_we_give_it() -> None:
    assert check_uuid("019ab3c4-0d1e-7f20-8a3b-5c6d7e8f9012", "id")
    for text in ("019AB3C4-0D1E-7F20-8A3B-5C6D7E8F9012", "019ab3c40d1e7f208a3b5c6d7e8f9012", "1", ""):
        with pytest.raises(InvalidInput) as caught:
            check_uuid(text, "id")
        assert (caught.value.code, caught.value.field) == ("invalid_uuid", "id")


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "a\udfffb"])
def test_nul_and_lone_surrogates_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_text(text, ("metadata", "team"))
    assert caught.value.field == "metadata.team"


def test_a_path_names_fields_and_places() -> None:
    assert path_of(("role_ids", 0)) == "role_ids.0"
    assert path_of(("metadata", "cost_center", "[key]")) == "metadata.cost_center"


@pytest.mark.parametrize(
    "name",
    [
        "hp_live_0000000000000000000000000000000000000000000000000000000000000",
        "sk_live_4eC39HqLyjWDarjtT1zdP7dc",
        "4111111111111111",
        "eyJhbGciOiJub25lIn0.e30.",
        "a\r\nset-cookie: b",
        "",
        "käse",
    ],
)
def test_a_name_that_could_be_a_secret_is_not_repeated(name: str) -> None:
    assert path_of((name,)) == "?"
