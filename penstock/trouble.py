"""What a person can do something about; anything else is a bug and shows its traceback."""

from penstock.compiling import BuildFailed
from penstock.golang import NoGo
from penstock.local.kubeconfig import UnusableKubeconfig
from penstock.local.ports import PortTaken
from penstock.local.state_folder import AlreadyRunning
from penstock.local.supervised import NotReady
from shared.cluster.connection import ConnectionSettingsError
from shared.cluster.errors import ApiError

TROUBLE = (
    AlreadyRunning,
    ApiError,
    BuildFailed,
    ConnectionSettingsError,
    NoGo,
    NotReady,
    PortTaken,
    UnusableKubeconfig,
)
