"""What happens when a test, a notebook or one of their child processes reaches for the network?

It fails, as on a machine without one, and the attempt is written down. Python imports a module of this name by itself
when it starts; `tests/conditions.py` puts this folder on `PYTHONPATH`, so that kernels, JupyterLab and their children
have it, too. An audit hook sees every connection and every look-up, however it is made, and nothing can take it away.
"""

import ipaddress
import os
import socket
import sys

LOG_VARIABLE = "TL_HELPERS_NETWORK_LOG"
CONNECTIONS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}


class NetworkBlocked(OSError):
    """A connection or a name look-up beyond this machine was tried."""


def is_local(host):
    """Say whether `host`, a name or an address, stays on this machine. None and the empty name do."""
    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost", "0.0.0.0", "::"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hook(event, arguments):
    """Refuse what leaves this machine; see `sys.addaudithook`."""
    if event in CONNECTIONS:
        opened, address = arguments
        if opened.family not in (socket.AF_INET, socket.AF_INET6) or address is None:
            return
        host = address[0]
    elif event in LOOKUPS:
        host = arguments[0]
    else:
        return
    if is_local(host):
        return
    log = os.environ.get(LOG_VARIABLE)
    if log:
        with open(log, "a", encoding="utf-8") as attempts:
            attempts.write(f"{event} {host!r} in {' '.join(getattr(sys, 'argv', []))[:200]}\n")
    raise NetworkBlocked(f"The tests run without a network, and {event} tried to reach {host!r}.")


sys.addaudithook(hook)
