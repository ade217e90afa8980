"""The record as files that other tools read: CSV, JSON lines, Parquet and OCSF events."""
