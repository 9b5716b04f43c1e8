"""What Penstock counts, under the names that Flux's dashboards know."""

from prometheus_client import Counter, Gauge, Histogram

# Flux's ten buckets: exponential from 10 ms to 30 minutes.
RECONCILE_BUCKETS = tuple(0.01 * (180_000 ** (step / 9)) for step in range(10))

RECONCILE_DURATION = Histogram(
    "gotk_reconcile_duration_seconds",
    "How long a run of one object took.",
    ("kind", "name", "namespace"),
    buckets=RECONCILE_BUCKETS,
)
RECONCILE_TOTAL = Counter(
    "controller_runtime_reconcile_total",
    "Runs by how they ended: success, requeue_after, error, terminal_error.",
    ("controller", "result"),
)
RECONCILE_BUGS = Counter(
    "controller_runtime_reconcile_panics_total",
    "Runs that ended in an exception that nobody expected.",
    ("controller",),
)
QUEUE_DEPTH = Gauge("workqueue_depth", "Objects waiting to be looked at.", ("name",))
ACTIVE_WORKERS = Gauge("controller_runtime_active_workers", "Runs in progress.", ("controller",))
API_REQUESTS = Counter(
    "rest_client_requests", "Requests to the API server; code 0 is no answer.", ("method", "code")
)
NATS_CONNECTED = Gauge("penstock_nats_connected", "1 while there is a connection to NATS.")
HINTS_DROPPED = Counter(
    "penstock_hints_dropped_total", "Hints not sent because NATS was away or slow.", ("stream",)
)
DEAD_LETTERS = Counter(
    "penstock_dead_letters_total",
    "Messages passed over because nobody could read them.",
    ("stream",),
)
OUTBOX_WAITING = Gauge("penstock_outbox_waiting", "Events that NATS has not taken yet.")
OUTBOX_DROPPED = Counter(
    "penstock_outbox_dropped_total", "Events lost because memory and disk were full."
)
EVENTS_DROPPED = Counter(
    "penstock_events_dropped_total", "Kubernetes Events that were not written."
)
NOTIFICATIONS = Counter(
    "penstock_notifications_total", "Notifications by how they ended.", ("result",)
)
EVENT_REQUESTS = Histogram(
    "gotk_event_http_request_duration_seconds",
    "How long the event receiver took to answer.",
    ("method", "code"),
)
RECEIVER_REQUESTS = Histogram(
    "gotk_receiver_http_request_duration_seconds",
    "How long the webhook receiver took to answer.",
    ("method", "code"),
)
