"""
Parked work: records that a sink refused, looked at, applied again or given up.

`letter.py` says what a letter is (pure), `letters.py` reads them, `resolutions.py` knows what has
become of them, `choice.py` finds those that are meant, `decide.py` redrives and discards.
"""
