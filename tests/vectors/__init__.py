"""Byte-exact lots for programs in any language; `python -m tests.vectors` writes the files again (docs/lot.md)."""
