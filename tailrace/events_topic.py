"""
The topic of an outbox's events, made before the first event: who subscribes early need not wait
until it is noticed, and join its group again.
"""

from collections.abc import Sequence
from contextlib import suppress

import kafka
import kafka.admin

from connectors.render import render
from connectors.spec import ConnectorSpec, commands_topic
from tailrace.config import Pipeline

_SETTING = "topic.creation.default."
_NO_CONFIG = ("partitions", "replication.factor")


def make(pipeline: Pipeline, spec: ConnectorSpec, participants: Sequence[str] = ()) -> None:
    """
    With the settings that Connect would give it; one that is there stays as it is. So are the
    topics of commands to these participants.
    """
    if not spec.has_outbox:
        return
    settings = {
        name.removeprefix(_SETTING): text
        for name, text in render(spec).items()
        if name.startswith(_SETTING)
    }
    configs = {name: text for name, text in settings.items() if name not in _NO_CONFIG}
    commands = (commands_topic(spec.topic_prefix, participant) for participant in participants)
    topics = [
        kafka.admin.NewTopic(topic, spec.partitions, spec.replication_factor, topic_configs=configs)
        for topic in (spec.events_topic, *commands)
    ]
    with suppress(kafka.errors.KafkaError):  # then Connect makes it with the first event
        admin = kafka.KafkaAdminClient(**pipeline.kafka.client())
        try:
            admin.create_topics(topics)
        finally:
            admin.close()
