"""Metrics: values over windows of events, from states that merge. Pure: time and events come in as arguments."""
