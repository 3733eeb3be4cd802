"""Events within messages: what SNS and S3 put into the body of an SQS message. Loaded on use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final
from urllib.parse import unquote_plus

from asyncbatch._views import View

# --- Amazon SNS ---
# https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html


@final
class SnsMessageAttribute(View):
    """One message attribute that the publisher set."""

    __slots__ = ()

    @property
    def get_type(self) -> str:
        """``String``, ``String.Array``, ``Number`` or ``Binary``."""
        return self.raw["Type"]

    @property
    def value(self) -> str:
        """The value; base64 for a binary one."""
        return self.raw["Value"]


@final
class NestedSnsMessage(View):
    """An SNS notification that a queue received as its message's body."""

    __slots__ = ()

    @property
    def message(self) -> str:
        """The published message."""
        return self.raw["Message"]

    @property
    def message_id(self) -> str:
        """The notification's id."""
        return self.raw["MessageId"]

    @property
    def message_attributes(self) -> dict[str, SnsMessageAttribute]:
        """The attributes that the publisher set."""
        return {name: SnsMessageAttribute(value) for name, value in self.raw["MessageAttributes"].items()}

    @property
    def subject(self) -> str | None:
        """The subject, where the publisher gave one."""
        return self.raw.get("Subject")

    @property
    def topic_arn(self) -> str:
        """The topic's ARN."""
        return self.raw["TopicArn"]

    @property
    def timestamp(self) -> str:
        """When it was published, in ISO 8601."""
        return self.raw["Timestamp"]

    @property
    def get_type(self) -> str:
        """``Notification``."""
        return self.raw["Type"]

    @property
    def signature(self) -> str:
        """The signature of the notification, in base64."""
        return self.raw["Signature"]

    @property
    def signature_version(self) -> str:
        """``1`` for SHA1, ``2`` for SHA256."""
        return self.raw["SignatureVersion"]

    @property
    def signing_cert_url(self) -> str:
        """Where the certificate of the signature is."""
        return self._url("SigningCertUrl", "SigningCertURL")

    @property
    def unsubscribe_url(self) -> str:
        """What ends the subscription when it is visited."""
        return self._url("UnsubscribeUrl", "UnsubscribeURL")

    def _url(self, to_lambda: str, to_queues: str) -> str:
        # SNS spells it one way for Lambda functions and another way for everybody else.
        return self.raw[to_lambda] if to_lambda in self.raw else self.raw[to_queues]


# --- Amazon S3 ---
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html


@final
class S3Identity(View):
    """Who did it, or whose it is."""

    __slots__ = ()

    @property
    def principal_id(self) -> str:
        """The id of the principal."""
        return self.raw["principalId"]


@final
class S3RequestParameters(View):
    """Where the request came from."""

    __slots__ = ()

    @property
    def source_ip_address(self) -> str:
        """The address."""
        return self.raw["sourceIPAddress"]


@final
class S3Bucket(View):
    """The bucket."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.raw["name"]

    @property
    def owner_identity(self) -> S3Identity:
        """The bucket's owner."""
        return S3Identity(self.raw["ownerIdentity"])

    @property
    def arn(self) -> str:
        """The bucket's ARN."""
        return self.raw["arn"]


@final
class S3Object(View):
    """The object."""

    __slots__ = ()

    @property
    def key(self) -> str:
        """The key as the event has it: URL-encoded."""
        return self.raw["key"]

    @property
    def size(self) -> int:
        """The size, in bytes."""
        return int(self.raw["size"])

    @property
    def etag(self) -> str:
        """The entity tag; empty after a deletion."""
        return self.raw.get("eTag") or ""

    @property
    def version_id(self) -> str | None:
        """The version, in a bucket that has versions."""
        return self.raw.get("versionId")

    @property
    def sequencer(self) -> str:
        """What orders the events of one key: hexadecimal text, to be compared after filling up with zeros."""
        return self.raw["sequencer"]


@final
class S3Message(View):
    """The ``s3`` part of a record."""

    __slots__ = ()

    @property
    def s3_schema_version(self) -> str:
        """The version of this shape."""
        return self.raw["s3SchemaVersion"]

    @property
    def configuration_id(self) -> str:
        """The id of the bucket's notification configuration."""
        return self.raw["configurationId"]

    @property
    def bucket(self) -> S3Bucket:
        """The bucket."""
        return S3Bucket(self.raw["bucket"])

    @property
    def get_object(self) -> S3Object:
        """The object; events of Intelligent-Tiering have it under this name."""
        return S3Object(self.raw.get("get_object") or self.raw["object"])


@final
class S3GlacierRestoreEventData(View):
    """What was restored."""

    __slots__ = ()

    @property
    def lifecycle_restoration_expiry_time(self) -> str:
        """When the restored copy expires."""
        return self.raw["lifecycleRestorationExpiryTime"]

    @property
    def lifecycle_restore_storage_class(self) -> str:
        """Where it was restored from."""
        return self.raw["lifecycleRestoreStorageClass"]


@final
class S3GlacierEventData(View):
    """What only ``s3:ObjectRestore:Completed`` has."""

    __slots__ = ()

    @property
    def restore_event_data(self) -> S3GlacierRestoreEventData:
        """What was restored."""
        return S3GlacierRestoreEventData(self.raw["restoreEventData"])


@final
class S3IntelligentTieringEventData(View):
    """What only events of Intelligent-Tiering have."""

    __slots__ = ()

    @property
    def destination_access_tier(self) -> str:
        """The object's new access tier."""
        return self.raw["destinationAccessTier"]


@final
class S3EventRecord(View):
    """One record of an S3 event notification."""

    __slots__ = ()

    @property
    def event_version(self) -> str:
        """The version of this shape."""
        return self.raw["eventVersion"]

    @property
    def event_source(self) -> str:
        """``aws:s3``."""
        return self.raw["eventSource"]

    @property
    def aws_region(self) -> str:
        """The bucket's region."""
        return self.raw["awsRegion"]

    @property
    def event_time(self) -> str:
        """When S3 was done with the request, in ISO 8601."""
        return self.raw["eventTime"]

    @property
    def event_name(self) -> str:
        """What happened: ``ObjectCreated:Put`` and the like."""
        return self.raw["eventName"]

    @property
    def user_identity(self) -> S3Identity:
        """Who did it."""
        return S3Identity(self.raw["userIdentity"])

    @property
    def request_parameters(self) -> S3RequestParameters:
        """Where the request came from."""
        return S3RequestParameters(self.raw["requestParameters"])

    @property
    def response_elements(self) -> dict[str, str]:
        """What AWS Support asks for."""
        return self.raw["responseElements"]

    @property
    def s3(self) -> S3Message:
        """Bucket and object."""
        return S3Message(self.raw["s3"])

    @property
    def glacier_event_data(self) -> S3GlacierEventData | None:
        """What only ``s3:ObjectRestore:Completed`` has."""
        part: Any = self.raw.get("glacierEventData")
        return None if part is None else S3GlacierEventData(part)

    @property
    def intelligent_tiering_event_data(self) -> S3IntelligentTieringEventData | None:
        """What only events of Intelligent-Tiering have."""
        part: Any = self.raw.get("intelligentTieringEventData")
        return None if part is None else S3IntelligentTieringEventData(part)


@final
class NestedS3Event(View):
    """An S3 event notification that a queue received as its message's body."""

    __slots__ = ()

    @property
    def records(self) -> Iterator[S3EventRecord]:
        """The records."""
        return map(S3EventRecord, self.raw["Records"])

    @property
    def record(self) -> S3EventRecord:
        """The first record."""
        return S3EventRecord(self.raw["Records"][0])

    @property
    def bucket_name(self) -> str:
        """The first record's bucket."""
        return self.record.s3.bucket.name

    @property
    def object_key(self) -> str:
        """The first record's object key, URL-decoded."""
        return unquote_plus(self.record.s3.get_object.key)
