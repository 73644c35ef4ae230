"""
Debezium: the database's log becomes Kafka topics. Three things are planned first, then applied:

    source.json          the connector's settings, to be read as they are (render.py fills them)
    source.sql           what the source database needs: publication, identities, control tables
    lossless/            the connector class without which restarts lose changes

    spec.py      what is wanted            catalogue.py  what the source has
    prepare.py   the difference, pure      register.py   plan, apply and operate by Connect's REST

The caller gives plain values (`ConnectorSpec`) and gets plain values (`Plan`, `Status`) or a
`ConnectorError` whose sentence says what, why and the next step.
"""
