"""One promotion incident with a known truth, as OTLP files written by real instrumentation libraries.

The data files beside this module are the product's demonstration and its end-to-end oracle; ``generate``
writes them anew. README.md tells the story and how the files were made.
"""
