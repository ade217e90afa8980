"""The composition root: the only package that knows everyone."""

__all__ = ["main"]


def main() -> None:
    """The command `hatchpay`."""
    # Embedding imports this package too, and needs nothing of the command line.
    from hatchpay.app.command import main as run

    run()
