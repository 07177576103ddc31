"""Alerts: which news follow from a report, given what was known, and how they are told."""
