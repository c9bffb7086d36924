"""Parity with PyTorch, driven by PyTorch's own operator database. `python -m tests.parity` prints the table."""
