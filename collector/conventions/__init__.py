"""Where each instrumentation puts what it knows: attribute names → canonical columns. Data, not code.

The names of a column are in order of precedence; the first one with a usable value wins, and values of different
conventions are never added. Conventions are told apart by the keys that are present: schema URLs do not tell the
version (instrumentations emit newer names under older URLs).
"""
