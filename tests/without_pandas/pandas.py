"""Stands in the way of pandas, which is here for one test of clients, and which the product does not ask for.

pyarrow imports it where it finds it: a fifth of the start of each process.
"""

raise ModuleNotFoundError("pandas is hidden from the processes of tests", name="pandas")
