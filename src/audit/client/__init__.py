"""A log on another machine, over WebSocket: the verbs, types and errors of an open one. Needs the extra `client`."""

from audit.client.backoff import Backoff
from audit.client.connecting import Connecting, connect
from audit.client.metrics import RemoteMetric, RemoteMetrics
from audit.client.news import Connected, Disconnected, News, Resumed
from audit.client.remote import RemoteAudit
from audit.client.sync import SyncRemoteAudit, SyncRemoteTail, connect_sync
from audit.client.syncmetrics import SyncRemoteMetric, SyncRemoteMetrics
from audit.client.tail import RemoteTail

__all__ = [
    "Backoff",
    "Connected",
    "Connecting",
    "Disconnected",
    "News",
    "RemoteAudit",
    "RemoteMetric",
    "RemoteMetrics",
    "RemoteTail",
    "Resumed",
    "SyncRemoteAudit",
    "SyncRemoteMetric",
    "SyncRemoteMetrics",
    "SyncRemoteTail",
    "connect",
    "connect_sync",
]
