"""Who is asking, and what they may do: the port that every connection and every call passes, and what stands behind it.

`port` is what the rest of the server knows; `rules` decides, `tokens` and `tickets` say who it is.
"""

from audit.server.access.port import ANONYMOUS, Access, Ask, OpenAccess, Principal, Verb

__all__ = ["ANONYMOUS", "Access", "Ask", "OpenAccess", "Principal", "Verb"]
