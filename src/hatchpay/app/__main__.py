"""`python -m hatchpay.app` is the command `hatchpay`."""

from hatchpay.app import main

if __name__ == "__main__":
    main()
