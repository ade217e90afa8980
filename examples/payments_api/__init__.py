"""A small payments API: something worth protecting. It imports nothing of HatchPay."""

from .app import app, create_app

__all__ = ["app", "create_app"]
