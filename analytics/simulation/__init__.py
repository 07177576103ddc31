"""Simulated promotions with a known truth, as the files that production would have sent."""
