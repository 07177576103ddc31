"""The statistics kernel: sufficient statistics, tests and error control (numpy and scipy only)."""
