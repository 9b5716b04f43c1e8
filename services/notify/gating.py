"""Which kinds of event a provider's type is for, beyond what its Alerts say."""

from typing import Final

from services.notify.event import ERROR, own_metadata
from shared.events import ANNOTATION_PREFIX
from shared.messages import EventPayload

COMMIT_STATUS_TYPES: Final = frozenset(
    {"github", "gitlab", "gitea", "bitbucketserver", "bitbucket", "azuredevops"}
)
CHANGE_REQUEST_TYPES: Final = frozenset(
    {"githubpullrequestcomment", "giteapullrequestcomment", "gitlabmergerequestcomment"}
)
_FORWARDING_TYPES: Final = frozenset({"generic", "generic-hmac"})
COMMIT: Final = f"{ANNOTATION_PREFIX}commit"
CHANGE_REQUEST: Final = f"{ANNOTATION_PREFIX}change_request"


def is_for(provider_type: str, event: EventPayload) -> bool:
    if provider_type in CHANGE_REQUEST_TYPES and CHANGE_REQUEST not in event.metadata:
        return False
    updates_status = own_metadata(event, "commit_status") == "update"
    if provider_type in COMMIT_STATUS_TYPES:
        return updates_status or COMMIT in event.metadata or event.severity == ERROR
    # A last word on a commit's status is for machines: people heard of the result already.
    return not updates_status or provider_type in _FORWARDING_TYPES
