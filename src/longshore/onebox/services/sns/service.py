"""SNS behind the port, as far as it is there."""

from __future__ import annotations

from longshore import models
from longshore.onebox.machinery.records import Records
from longshore.onebox.services.calls import Operation, in_threads
from longshore.onebox.services.sns import errors
from longshore.onebox.services.sns.subscription_operations import SubscriptionOperations
from longshore.onebox.services.sns.topic_operations import TopicOperations
from longshore.onebox.services.sns.topics import Topics
from longshore.wire.service import Service


def service(records: Records, topics: Topics, *, sends_mail: bool) -> Service:
    """SNS, for everybody."""
    on_topics = TopicOperations(records, topics)
    on_subscriptions = SubscriptionOperations(records, topics, sends_mail=sends_mail)
    reading: dict[str, Operation] = {
        "ListTopics": on_topics.list_topics,
        "GetTopicAttributes": on_topics.get_topic_attributes,
        "ListSubscriptions": on_subscriptions.list_subscriptions,
        "ListSubscriptionsByTopic": on_subscriptions.list_subscriptions,
        "GetSubscriptionAttributes": on_subscriptions.get_subscription_attributes,
        "ListTagsForResource": on_topics.list_tags,
    }
    changing: dict[str, Operation] = {
        "CreateTopic": on_topics.create_topic,
        "DeleteTopic": on_topics.delete_topic,
        "SetTopicAttributes": on_topics.set_topic_attributes,
        "Publish": on_topics.publish,
        "PublishBatch": on_topics.publish_batch,
        "TagResource": on_topics.tag,
        "UntagResource": on_topics.untag,
        "Subscribe": on_subscriptions.subscribe,
        "ConfirmSubscription": on_subscriptions.confirm_subscription,
        "Unsubscribe": on_subscriptions.unsubscribe,
        "SetSubscriptionAttributes": on_subscriptions.set_subscription_attributes,
    }
    return Service(
        model=models.load_later("sns"),
        handlers=in_threads(reading | changing),
        explain=errors.explain,
        signing_names=frozenset({"sns"}),
        unrecorded=frozenset(changing),
    )
