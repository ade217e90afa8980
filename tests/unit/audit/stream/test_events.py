"""What a record is as an event, which streams take it, and how long a stream waits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.support.streams import kept

from hatchpay.audit.stream.destination import read_destination
from hatchpay.audit.stream.event import OTHER, event_of, takes
from hatchpay.audit.stream.pace import Pace
from hatchpay.audit.stream.row import (
    StreamRow,
    StreamSecret,
    seal_headers,
    seal_secret,
    unseal_headers,
    unseal_secrets,
)
from hatchpay.errors import InvalidInput, UnusableKey

TENANT = "019ab3c3-ffe0-7a10-8b2c-4d5e6f708192"
KEK = b"k" * 32


def row(**fields: Any) -> StreamRow:
    values: dict[str, Any] = {
        "id": "s",
        "tenant_id": TENANT,
        "name": "n",
        "kind": "http",
        "destination_url": "https://x",
    }
    return StreamRow(**(values | {"start_seq": 0, "created_us": 0, "updated_us": 0} | fields))


class TestTypes:
    def test_the_permission_is_the_type_and_changes_can_be_asked_for_as_well(self) -> None:
        event = event_of(kept(changes=["api-key.keys.created"]))
        assert event.type == "payment-proxy.transactions.read"
        assert event.types == {"payment-proxy.transactions.read", "api-key.keys.created"}

    def test_a_command_has_no_permission_and_is_its_change(self) -> None:
        event = event_of(kept(permission=None, changes=["roles.x.created", "roles.x.deleted"]))
        assert (event.type, event.types) == ("roles.x.created", {"roles.x.created", "roles.x.deleted"})

    def test_whatever_has_neither_is_the_rest(self) -> None:
        event = event_of(kept(permission=None))
        assert (event.type, event.types) == (OTHER, {OTHER})


class TestTaking:
    def test_a_stream_takes_its_tenants_records_only(self) -> None:
        assert takes(row(), event_of(kept()))
        assert not takes(row(tenant_id="other"), event_of(kept()))

    def test_a_stream_of_chosen_units_takes_theirs_and_nothing_that_concerned_none(self) -> None:
        stream = row(business_unit_ids=("u1", "u2"))
        taken = [takes(stream, event_of(kept(business_unit_id=unit))) for unit in ("u1", "u2", "u3", None)]
        assert taken == [True, True, False, False]

    def test_a_stream_of_chosen_types_takes_a_record_by_any_of_its_own(self) -> None:
        stream = row(event_types=("api-key.keys.created", OTHER))
        assert takes(stream, event_of(kept(changes=["api-key.keys.created"])))
        assert takes(stream, event_of(kept(permission=None)))
        assert not takes(stream, event_of(kept()))


class TestDestinations:
    @pytest.mark.parametrize(
        ("kind", "url", "host", "port", "target", "origin"),
        [
            (
                "http",
                "https://Logs.Example.com/a%20b?c=d",
                "logs.example.com",
                443,
                "/a%20b?c=d",
                "https://logs.example.com:443",
            ),
            ("otlp", "https://[2001:DB8::1]:4318/v1/logs", "2001:db8::1", 4318, "/v1/logs", "https://2001:db8::1:4318"),
            ("webhook", "https://example.com.", "example.com.", 443, "/", "https://example.com:443"),
            (
                "syslog",
                "tls://syslog.example.com:6514",
                "syslog.example.com",
                6514,
                "/",
                "https://syslog.example.com:6514",
            ),
        ],
    )
    def test_a_url_is_read(self, kind: Any, url: str, host: str, port: int, target: str, origin: str) -> None:
        there = read_destination(kind, url)
        assert (there.host, there.port, there.target, there.origin) == (host, port, target, origin)
        assert there.tls

    @pytest.mark.parametrize(
        ("kind", "url"),
        [
            ("http", "http://example.com/"),
            ("http", "https://user:secret@example.com/"),
            ("http", "https://example.com/#fragment"),
            ("http", "https://example.com\\@evil.example/"),
            ("http", "https://example.com:0/"),
            ("http", "https://example.com:65536/"),
            ("http", "https://exa mple.com/"),
            ("http", "https://example.com/\r\nX: y"),
            ("http", "https://ex\u00e4mple.com/"),
            ("http", "https://[::1%25eth0]/"),
            ("http", "https://[v1.x]/"),
            ("http", "https:///path"),
            ("http", "ftp://example.com/"),
            ("http", "tls://example.com:6514"),
            ("http", "https://example.com/%zz"),
            ("http", "https://example.com/" + "x" * 2048),
            ("syslog", "tls://example.com"),
            ("syslog", "tls://example.com:6514/x"),
            ("syslog", "https://example.com:6514"),
        ],
    )
    def test_anything_else_is_refused_without_being_repeated(self, kind: Any, url: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            read_destination(kind, url)
        assert (caught.value.code, caught.value.field) == ("invalid_url", "destination_url")
        assert url not in caught.value.detail

    def test_tests_may_use_plain_http(self) -> None:
        assert not read_destination("http", "http://127.0.0.1:8080/", insecure=True).tls


class TestSecrets:
    def test_headers_open_for_their_stream_and_their_receiver_only(self) -> None:
        sealed = seal_headers({"X-Key": "value"}, KEK, b"n" * 12, "s", "https://a:443")
        assert b"value" not in sealed
        assert unseal_headers(row(sealed_headers=sealed), KEK, "https://a:443") == {"X-Key": "value"}
        for stream, kek, origin in (
            (row(sealed_headers=sealed), KEK, "https://b:443"),
            (row(sealed_headers=sealed, id="t"), KEK, "https://a:443"),
            (row(sealed_headers=sealed), b"x" * 32, "https://a:443"),
            (row(sealed_headers=sealed[:-1]), KEK, "https://a:443"),
        ):
            with pytest.raises(UnusableKey) as caught:
                unseal_headers(stream, kek, origin)
            assert caught.value.code == "sealed_unreadable"

    def test_secrets_sign_until_they_end(self) -> None:
        texts = [b"new" * 8, b"old" * 8]
        secrets = tuple(
            StreamSecret(
                version=version, sealed=seal_secret(text, KEK, b"n" * 12, "s", version), created_us=0, ends_us=ends
            )
            for version, text, ends in ((2, texts[0], None), (1, texts[1], 100))
        )
        assert unseal_secrets(row(secrets=secrets), KEK, 99) == texts
        assert unseal_secrets(row(secrets=secrets), KEK, 100) == texts[:1]
        moved = (msgspec.structs.replace(secrets[0], version=3),)
        with pytest.raises(UnusableKey):
            unseal_secrets(row(secrets=moved), KEK, 0)


class TestPace:
    def test_the_wait_doubles_up_to_its_bound_and_chance_moves_it_by_half(self) -> None:
        pace = Pace()
        assert [pace.delay_s(failures, None, lambda: 0.5) for failures in (1, 2, 3, 9, 10, 1000)] == [
            1,
            2,
            4,
            256,
            300,
            300,
        ]
        assert (pace.delay_s(3, None, lambda: 0.0), pace.delay_s(3, None, lambda: 1.0)) == (2, 6)

    def test_a_receiver_is_left_alone_for_as_long_as_it_asks_within_reason(self) -> None:
        pace = Pace()
        assert pace.delay_s(1, 120, lambda: 0.5) == 120
        assert pace.delay_s(1, 10**9, lambda: 0.5) == 3600

    def test_a_record_is_given_up_after_so_many_tries_and_so_much_time(self) -> None:
        pace = Pace()
        assert not pace.gives_up(7, 1000)
        assert not pace.gives_up(8, 59)
        assert pace.gives_up(8, 60)
        # What the documentation says: 1 + 2 + 4 + ... + 64 seconds before the eighth try.
        assert sum(pace.delay_s(failures, None, lambda: 0.5) for failures in range(1, 8)) == 127
