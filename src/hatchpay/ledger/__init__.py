"""Prove it: the Merkle log of opaque entries in the C2SP formats. Pure: no I/O, no storage, no request types."""
