"""Stored events and plain rows, as a table, JSON, JSON lines or CSV: written as they come, whatever their number."""
