"""The record, sent on as it grows: which events a stream takes, each wire format, and the shipper."""
