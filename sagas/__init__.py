"""Sagas: a unit of work that spans services ends everywhere or is undone everywhere."""
