"""CSV, JSON lines and Parquet, read by others than who wrote them."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.support.exported import KINDS, kept

from hatchpay.audit.export.csv_lines import CsvLines
from hatchpay.audit.export.encoder import Encoder
from hatchpay.audit.export.fields import FIELDS, flat_line
from hatchpay.audit.export.json_lines import JsonLines
from hatchpay.audit.export.parquet_file import ParquetFile
from hatchpay.audit.ports import Kept, Sealed

HEADER = (
    "seq,leaf_index,leaf_hash,request_id,tenant_id,business_unit_id,principal_id,key_id,claimed_key_id,token_id,"
    "issuer_id,roles,decision,reason,rule,missing,method,url,route,permission,client_ip,headers,body,body_size,"
    "body_hmac,status,response_size,response_time_us,auth_us,handler_us,audit_us,started_at,state,correlation_id,payload,changes"
)


def whole(encoder: Encoder, *records: Kept) -> bytes:
    return encoder.begin() + encoder.add(records[:1]) + encoder.add(records[1:]) + encoder.end()


def csv_rows(*records: Kept) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(whole(CsvLines(), *records).decode(), newline=""), strict=True))


def json_rows(*records: Kept) -> list[dict[str, Any]]:
    return [json.loads(line) for line in whole(JsonLines(), *records).decode().split("\n")[:-1]]


def parquet_rows(*records: Kept) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(pa.BufferReader(whole(ParquetFile(9), *records))).to_pylist()
    return rows


def test_the_fields_are_those_of_the_history_behind_the_place_in_ledger_and_tree() -> None:
    assert list(flat_line(kept())) == list(FIELDS)
    assert ",".join(FIELDS) == HEADER


class TestJsonLines:
    def test_a_record_is_one_flat_object_on_one_line(self) -> None:
        record = KINDS["a creation with its body, in a business unit"]
        (row,) = json_rows(record)
        assert ",".join(row) == HEADER
        assert (row["seq"], row["leaf_index"], row["leaf_hash"]) == (7, None, None)
        assert row["body"] == {"amount": "12.50", "items": [{"name": "Tea"}], "note": None}
        assert row["started_at"] == "2025-11-25T01:50:42.000001Z"
        assert row["headers"] == {"host": "api.example", "user-agent": "curl/8.5.0"}

    def test_what_is_sealed_has_its_leaf(self) -> None:
        (row,) = json_rows(kept(leaf=Sealed(12, b"\x00\xff" * 16)))
        assert (row["leaf_index"], row["leaf_hash"]) == (12, "00ff" * 16)

    def test_a_body_of_many_lines_stays_on_one(self) -> None:
        rows = json_rows(kept(body=b'{\r\n "a": "x\\ny",\n\t"b": [1,\n2]}\n'), kept(seq=8))
        assert rows[0]["body"] == {"a": "x\ny", "b": [1, 2]}
        assert rows[1]["seq"] == 8

    def test_there_is_nothing_before_and_nothing_behind_the_lines(self) -> None:
        assert whole(JsonLines()) == b""


class TestCsv:
    def test_its_first_line_names_the_fields_unless_it_is_left_out(self) -> None:
        assert CsvLines().begin() == HEADER.encode() + b"\r\n"
        assert CsvLines(header=False).begin() == b""
        assert CsvLines().media_type == "text/csv; charset=utf-8; header=present"
        assert CsvLines(header=False).media_type == "text/csv; charset=utf-8; header=absent"

    def test_numbers_stay_numbers_and_nothing_is_told_from_the_empty_text(self) -> None:
        line = whole(CsvLines(header=False), kept(correlation_id="", business_unit_id=None)).decode()
        assert line.startswith('7,,,"019ab3c5-1a2b-7c3d-8e4f-5a6b7c8d9e0f",')
        assert ",200,612,4210,12,3870,9," in line
        assert line.endswith(',"completed","","kept","[]"\r\n')

    def test_a_text_survives_whatever_it_holds(self) -> None:
        texts = ['a "quoted" one', "a, b", "two\u2028lines", "Zürich ☕", "'", '"', ""]
        rows = csv_rows(*(kept(seq=number, correlation_id=text) for number, text in enumerate(texts)))
        assert [row["correlation_id"] for row in rows] == texts

    def test_a_record_is_one_line_whatever_its_texts_hold(self) -> None:
        forged = kept(correlation_id="a\r\n999999,1,2\n", body=b'{"a":\n"b\\n"}', headers={"user-agent": "x\ny"})
        file = whole(CsvLines(header=False), forged, kept(seq=8)).decode()
        assert [line.partition(",")[0] for line in file.split("\n")] == ["7", "8", ""]
        assert csv_rows(forged)[0]["correlation_id"] == "a␍␊999999,1,2␊"

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_says_what_the_history_says(self, kind: str) -> None:
        (row,), (told,) = csv_rows(KINDS[kind]), json_rows(KINDS[kind])
        for name, value in told.items():
            if FIELDS[name] == "json":
                assert json.loads(row[name] or "null") == value, name
            else:
                assert row[name] == ("" if value is None else str(value)), name


class TestParquet:
    def test_its_columns_have_types(self) -> None:
        schema = parquet.read_schema(pa.BufferReader(whole(ParquetFile(9), kept())))
        assert schema.names == HEADER.split(",")
        types = {name: str(schema.field(name).type) for name in ("seq", "status", "started_at", "url", "roles")}
        assert types == {
            "seq": "int64",
            "status": "int32",
            "started_at": "timestamp[us, tz=UTC]",
            "url": "string",
            "roles": "list<element: string>",
        }
        assert str(schema.field("headers").type).startswith("map<string, string")
        assert not schema.field("seq").nullable and schema.field("leaf_index").nullable

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_says_what_the_history_says(self, kind: str) -> None:
        (row,), (told,) = parquet_rows(KINDS[kind]), json_rows(KINDS[kind])
        row["started_at"] = row["started_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        row["headers"] = dict(row["headers"])
        row["body"], row["changes"] = json.loads(row["body"] or "null"), json.loads(row["changes"])
        assert row == told

    def test_a_moment_is_read_to_the_microsecond(self) -> None:
        (row,) = parquet_rows(kept())
        assert row["started_at"] == datetime(2025, 11, 25, 1, 50, 42, 1, UTC)

    def test_it_is_written_in_groups_of_rows_that_are_bounded_by_number_and_by_size(self) -> None:
        many = whole(ParquetFile(9), *(kept(seq=number) for number in range(12_001)))
        assert groups(many) == [5_000, 5_000, 2_001]
        body = b'"' + b"x" * 60_000 + b'"'
        large = whole(ParquetFile(9), *(kept(seq=number, body=body) for number in range(200)))
        assert max(groups(large)) * 60_000 < 5 * 1024 * 1024

    def test_what_was_flushed_is_handed_out_at_once(self) -> None:
        encoder = ParquetFile(9)
        assert encoder.begin() == b"PAR1"
        assert encoder.add([kept()]) == b""
        assert encoder.add([kept(seq=number) for number in range(4_999)]) != b""

    def test_it_is_a_file_without_any_record_too_and_says_where_it_ends(self) -> None:
        file = parquet.ParquetFile(pa.BufferReader(whole(ParquetFile(4711))))
        assert file.metadata.num_rows == 0
        assert file.schema_arrow.metadata[b"hatchpay.upto"] == b"4711"

    def test_a_body_that_is_no_text_spoils_nothing(self) -> None:
        (row,) = parquet_rows(kept(body=b'"\xff"'))
        assert row["body"] == '"\ufffd"'


def groups(data: bytes) -> list[int]:
    metadata = parquet.ParquetFile(pa.BufferReader(data)).metadata
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
