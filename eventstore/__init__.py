"""
Events as the truth: contracts, the outbox, append-only streams, and what is derived from them.
"""
