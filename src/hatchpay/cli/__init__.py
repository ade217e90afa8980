"""The command `hatchpay`: one file per noun. It knows storage only through the ports beside it."""
