"""Checks of what the programs print and write to JSON: checked.py says how, one file per chapter holds them."""
