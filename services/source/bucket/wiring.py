"""The controller of Buckets."""

from services.source.bucket.bucket import BucketReconciler
from services.source.bucket.ldap_tokens import LdapTokens
from services.source.bucket.stores import Stores
from services.source.means import Caches, Doors, Means, controller_of
from shared.controller import Controller
from shared.resources.source import Bucket


def bucket_controller(means: Means, caches: Caches, doors: Doors) -> Controller[Bucket]:
    stores = Stores(doors.secrets, doors.clouds, LdapTokens(means.web), means.reach)
    reconciler = BucketReconciler(means.storage, stores)
    return controller_of(means, caches.buckets, Bucket, reconciler)
