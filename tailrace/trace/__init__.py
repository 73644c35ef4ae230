"""The life of one change, from the source's commit to the row that each sink shows of it."""
