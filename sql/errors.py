"""What can go wrong with the store, each as one clear sentence."""


class StoreError(Exception):
    """Base of the store's errors; the message is meant for a person."""


class StoreUnavailableError(StoreError):
    """The store or the server that owns it cannot be reached."""


class RowsRefusedError(StoreError):
    """These rows cannot be stored, now or later; the store is as it was."""


class StoreMemoryError(StoreError):
    """The database's memory did not suffice to store these rows now; others may well be stored."""


class StoreFailedError(StoreError):
    """The database can no longer be written; the owning process must stop and be started again."""


class QueryError(StoreError):
    """A query was refused or failed; the message says why."""


MEMORY_SENTENCE = "There was not enough memory to answer"
"""How the message of a :class:`QueryMemoryError` begins: across the wire only the message is told."""


class QueryMemoryError(QueryError):
    """The database's memory did not suffice for a query."""
