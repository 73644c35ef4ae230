"""
Every precondition of a pipeline, judged: `tailrace doctor`.

`read_databases.py` and `read_queues.py` ask each server once, for the facts of `facts.py`. The
checks on them are pure functions, in a module for each server; `examination.py` brings the two
together.
"""
