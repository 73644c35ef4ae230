"""
The integration test harness, a pytest plugin: real servers, one pipeline a test, waits on facts.

Importing this package or its plugin imports nothing heavy; a test that asks for `cdc` does.
"""
