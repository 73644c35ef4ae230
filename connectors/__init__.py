"""
Debezium: the database's log becomes Kafka topics. Three things are planned first, then applied:

    source.json          the connector's settings, to be read as they are (render.py fills them)
    source.sql           what is asked of the source's catalogue; prepare.sql: what it may need
    lossless/            the connector class without which restarts lose changes

    spec.py      what is wanted          catalogue.py  what the source has      rest.py  Connect
    judge.py     what speaks against it  prepare.py    what is to be changed            (both pure)
    register.py  plan and apply          operate.py    status, pause, resume, restart, delete

The caller gives plain values (`ConnectorSpec`) and gets plain values (`Plan`, `Status`) or a
`ConnectorError` whose sentence says what, why and the next step.
"""
