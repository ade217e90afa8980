"""The four wire formats, each read back by somebody else's reader, or by one written from its grammar."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from standardwebhooks import Webhook, WebhookVerificationError
from tests.support.rfc5424 import frames, parse
from tests.support.streams import kept

from hatchpay.audit.ports import Sealed
from hatchpay.audit.stream import ndjson, otlp, syslog, webhook
from hatchpay.audit.stream.event import Event, event_of
from hatchpay.errors import DeliveryFailed

ODD = 'a"b\\c]d\n\x1b[0m é 😀'
AT = 1_790_000_000_123_456
AT_TEXT = "2026-09-21T14:13:20.123456Z"


def an_event(**fields: Any) -> Event:
    return event_of(kept(**({"started_us": AT, "response_time_us": 1_500} | fields)))


def read_otlp(*events: Event) -> list[LogRecord]:
    """By protobuf's own reader, which refuses names and types that the messages do not have."""
    request = Parse(otlp.encode(events), ExportLogsServiceRequest())
    (resource,) = request.resource_logs
    (scope,) = resource.scope_logs
    assert {one.key: one.value.string_value for one in resource.resource.attributes} == {
        "service.name": "hatchpay",
        "hatchpay.tenant_id": events[0].record.tenant_id,
    }
    assert scope.scope.name == "hatchpay.audit"
    return list(scope.log_records)


def plain(value: AnyValue) -> object:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: plain(item.value) for item in value.kvlist_value.values}
        case kind:
            return getattr(value, kind)


class TestOtlp:
    def test_a_record_is_a_log_record_with_its_times_and_attributes(self) -> None:
        (log,) = read_otlp(an_event(client_ip="192.0.2.1", roles=("viewer",), headers={"host": ODD}, body=b'{"a":1}'))

        assert log.time_unix_nano == 1_790_000_000_123_456_000
        assert log.observed_time_unix_nano == 1_790_000_000_124_956_000
        assert log.event_name == "payment-proxy.transactions.read"
        assert log.body.string_value == "GET /v1/payment-proxy/transactions 200 completed"
        attributes = {one.key: plain(one.value) for one in log.attributes}
        assert len(attributes) == len(log.attributes)
        assert attributes["http.request.method"] == "GET"
        assert attributes["http.response.status_code"] == 200
        assert attributes["http.route"] == "/v1/payment-proxy/transactions"
        assert attributes["client.address"] == "192.0.2.1"
        assert attributes["hatchpay.roles"] == ["viewer"]
        assert attributes["hatchpay.headers"] == {"host": ODD}
        assert attributes["hatchpay.body"] == '{"a":1}'
        assert "hatchpay.key_id" not in attributes

    @pytest.mark.parametrize(
        ("fields", "severity"),
        [
            ({}, SeverityNumber.SEVERITY_NUMBER_INFO),
            ({"status": 404}, SeverityNumber.SEVERITY_NUMBER_INFO),
            ({"decision": "deny", "state": "refused", "status": 403}, SeverityNumber.SEVERITY_NUMBER_WARN),
            ({"status": 503}, SeverityNumber.SEVERITY_NUMBER_ERROR),
            ({"state": "indeterminate", "status": None}, SeverityNumber.SEVERITY_NUMBER_ERROR),
        ],
    )
    def test_refusals_are_warnings_and_failures_errors(self, fields: dict[str, Any], severity: int) -> None:
        assert read_otlp(an_event(**fields))[0].severity_number == severity

    def test_a_trace_is_named_as_the_specification_writes_it_in_json(self) -> None:
        trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        made = json.loads(otlp.encode([an_event(headers={"traceparent": f"00-{trace}-{span}-01"})]))
        log = made["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
        assert (log["traceId"], log["spanId"], log["flags"]) == (trace, span, 1)

    @pytest.mark.parametrize("text", ["00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff-" + "1" * 32, "x"])
    def test_a_trace_that_is_none_is_left_out(self, text: str) -> None:
        assert b"traceId" not in otlp.encode([an_event(headers={"traceparent": text})])

    def test_changes_keep_their_order_and_shape(self) -> None:
        (log,) = read_otlp(event_of(kept(changes=["a.b.c", "d.e.f"])))
        changes = next(plain(one.value) for one in log.attributes if one.key == "hatchpay.changes")
        assert changes == [{"event": "a.b.c", "detail": "{}"}, {"event": "d.e.f", "detail": "{}"}]

    def test_what_a_collector_has_not_taken_is_counted(self) -> None:
        assert otlp.rejected(b"") == otlp.rejected(b"{}") == otlp.rejected(b'{"partialSuccess":{}}') == 0
        assert otlp.rejected(b'{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"no"}}') == 3
        with pytest.raises(DeliveryFailed) as caught:
            otlp.rejected(b"<html>")
        assert caught.value.code == "stream_answer_invalid"


class TestSyslog:
    def test_a_frame_has_every_part_of_the_grammar(self) -> None:
        event = an_event(decision="deny", state="refused", status=403, route=ODD, principal_id="user:" + ODD)
        (frame,) = frames(syslog.encode([event], "gate-1.example.com"))
        message = parse(frame)
        assert (message.facility, message.severity) == (13, 4)
        assert message.time == datetime(2026, 9, 21, 14, 13, 20, 123456, UTC)
        assert (message.host, message.app, message.proc, message.msgid) == (
            "gate-1.example.com",
            "hatchpay",
            "-",
            "refused",
        )
        assert message.sd_id == "hatchpay@32473"
        shown = ODD.replace("\n", "\ufffd").replace("\x1b", "\ufffd")
        assert message.parameters["route"] == shown
        assert message.parameters["principal_id"] == "user:" + shown
        assert message.parameters["request_id"] == event.record.request_id
        assert message.parameters["status"] == "403"
        assert "business_unit_id" not in message.parameters
        assert message.msg.isascii()
        assert json.loads(message.msg)["route"] == ODD

    @pytest.mark.parametrize(("state", "severity"), [("completed", 6), ("failed", 3)])
    def test_severities_are_those_of_syslog(self, state: str, severity: int) -> None:
        assert parse(syslog.message(an_event(state=state), "h").encode()).severity == severity

    def test_frames_follow_each_other_by_their_length_in_octets(self) -> None:
        events = [an_event(route=ODD), an_event(route="é" * 100), an_event()]
        assert [parse(one).parameters["request_id"] for one in frames(syslog.encode(events, "h"))] == [
            event.record.request_id for event in events
        ]

    @pytest.mark.parametrize("name", ["", "a b", "é\n", "x" * 300])
    def test_a_host_name_that_is_none_is_made_one(self, name: str) -> None:
        assert len(parse(syslog.message(an_event(), name).encode()).host) <= 255

    def test_what_is_too_long_is_shortened_says_so_and_stays_json(self) -> None:
        body = json.dumps({"text": "é" * 60_000}).encode()
        event = an_event(body=body, url="/" + "x" * 8_000, route="😀" * 2_000, principal_id="user:" + "y" * 9_000)
        made = syslog.message(event, "h").encode()
        assert len(made) <= 8_192
        data = json.loads(parse(made).msg)
        assert data["request_id"] == event.record.request_id
        assert data["body"] is None and data["url"] is None
        assert data["shortened"][:1] == ["body"]

    def test_what_fits_is_whole(self) -> None:
        data = json.loads(parse(syslog.message(an_event(body=b'{"a":"b"}'), "h").encode()).msg)
        assert data["body"] == {"a": "b"}
        assert "shortened" not in data


class TestHttp:
    def test_each_record_is_one_line_however_its_body_was_written(self) -> None:
        events = [an_event(body=b'{\n  "a": "x\\ny",\r\n  "b": 1.0e3\n}', url="/é"), an_event()]
        lines = ndjson.encode(events).split(b"\n")
        assert lines.pop() == b""
        first, second = map(json.loads, lines)
        assert first["body"] == {"a": "x\ny", "b": 1000.0}
        assert (first["type"], first["url"], first["started_at"]) == ("payment-proxy.transactions.read", "/é", AT_TEXT)
        assert second["request_id"] == events[1].record.request_id

    def test_a_sealed_record_says_where_its_leaf_stands(self) -> None:
        one = msgspec.structs.replace(kept(), leaf=Sealed(7, b"\xab" * 32))
        line = json.loads(ndjson.encode([event_of(one)]))
        assert (line["leaf_index"], line["leaf_hash"]) == (7, "ab" * 32)


class TestWebhooks:
    def test_the_librarys_own_check_takes_every_secret_that_signs_and_no_other(self) -> None:
        secrets = [b"a" * 32, b"b" * 32]
        event = an_event()
        body = webhook.encode(event)
        now = int(datetime.now(UTC).timestamp())
        headers = webhook.headers(webhook.message_id(event), now, body, secrets)
        for secret in secrets:
            taken = Webhook(webhook.secret_text(secret)).verify(body, headers)
            assert set(taken) == {"type", "timestamp", "data"}
            assert (taken["type"], taken["timestamp"]) == ("payment-proxy.transactions.read", AT_TEXT)
            assert taken["data"]["request_id"] == event.record.request_id
        with pytest.raises(WebhookVerificationError):
            Webhook(webhook.secret_text(b"c" * 32)).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(webhook.secret_text(secrets[0])).verify(body + b" ", headers)

    def test_the_example_of_the_specification_is_signed_as_there(self) -> None:
        import base64

        secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        headers = webhook.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret])
        assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_an_event_has_the_same_id_whenever_it_is_sent(self) -> None:
        event = an_event()
        assert webhook.message_id(event) == webhook.message_id(event) == f"msg_{event.record.request_id}"
