"""A tour is booked at five services, each with a database of its own: all of it, or nothing."""
