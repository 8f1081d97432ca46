"""nginx before the SuperLink: sites reach the fleet interface, and nothing else.

The SuperLink has its control and runtime interfaces on the same port, without a password: whoever reaches them starts
runs at every site. So a request passes only if the text that was sent, before any decoding, is ``/v1/fleet/`` and one
word; there is nothing in it that the two programs could read differently.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from common.deployment.loopback import has_ipv6
from common.errors import FederationError, UsageError
from server.federation.folder.coordinator_folder import Folder

CONTAINER = Path("/fl")
CONTAINER_PORT, CONTAINER_SUPERLINK = 8443, "superlink:8000"  # as compose.yaml has them
CONTAINER_RESOLVER = "127.0.0.11"  # a Docker network's own
BODY_LIMIT = "8m"  # Flower cuts what it sends into pieces of 5 MiB
# A body waits on the disk, so that memory is bounded: by CONNECTIONS times BODY_MEMORY and a TLS session's 60 kB or so.
BODY_MEMORY = "64k"
CONNECTIONS = 512  # of all together, a network's or an attacker's: at most 4 GiB of disk
CONNECTIONS_OF_AN_ADDRESS = 64

_TEMPLATE = """\
# Made by fedser; sites reach /v1/fleet/ and nothing else.
worker_processes 2;
pid "{scratch}/nginx.pid";
error_log stderr warn;
events {{ worker_connections 1024; }}

http {{
  server_tokens off;
  default_type text/plain;
  client_body_temp_path "{scratch}/body";
  proxy_temp_path "{scratch}/proxy";
  fastcgi_temp_path "{scratch}/fastcgi";
  uwsgi_temp_path "{scratch}/uwsgi";
  scgi_temp_path "{scratch}/scgi";

  # $request_uri is the text as sent: no %xx, no dots, no second slash, no query gets through.
  map $request_uri $allowed {{ default 0; "~^/v1/fleet/[a-z-]+$" 1; }}
  map $status $logged {{ default 1; "~^[23]" 0; }}
  log_format refused '$time_iso8601 $remote_addr $ssl_protocol "$request_method $request_uri" $status';
  access_log /dev/stdout refused if=$logged;

  limit_req_zone $binary_remote_addr zone=requests:10m rate=300r/s;
  limit_conn_zone $binary_remote_addr zone=connections:10m;
  limit_conn_zone $server_name zone=together:1m;
  limit_req_status 503;
  limit_conn_status 503;
{upstream}
  server {{
    listen {port} ssl;{listen_ipv6}
    ssl_certificate "{certificates}/server.crt";
    ssl_certificate_key "{certificates}/server.key";
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305;
    ssl_session_cache shared:sessions:10m;
    ssl_session_tickets off;

    # What is slow or large is cut off; a body waits on the disk, whoever sent it.
    client_max_body_size {body_limit};
    client_body_buffer_size {body_memory};
    client_header_timeout 15s;
    client_body_timeout 30s;
    send_timeout 60s;
    reset_timedout_connection on;
    limit_conn connections {address_connections};
    limit_conn together {connections};

    if ($allowed = 0) {{ return 403; }}
    location / {{ return 403; }}
    location /v1/fleet/ {{
      limit_except POST {{ deny all; }}
      limit_req zone=requests burst=500;  # what comes faster waits; nothing is lost up to 500
{target}
      proxy_http_version 1.1;
      proxy_set_header Host localhost;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate "{certificates}/ca.crt";
      proxy_ssl_name localhost;
      proxy_ssl_protocols TLSv1.3;
      proxy_max_temp_file_size 0;
      proxy_buffers 16 64k;
      proxy_connect_timeout 5s;
      proxy_read_timeout 120s;
    }}
  }}
}}
"""
# Idle connections end before the SuperLink's five seconds, so that none is used while it is being closed.
_UPSTREAM = """
  upstream superlink {{
    server {address};
    keepalive 32;
    keepalive_timeout 3s;
  }}
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where nginx runs.

    Attributes:
        port: where nginx listens.
        certificates: the folder with ca.crt, server.crt and server.key, as nginx sees it.
        scratch: a folder that it may write to.
        superlink: the SuperLink's host and port, as nginx sees it.
        ipv6: whether it listens on ``[::]`` too. In a container it need not: Docker hands on what comes to either.
        resolver: asked again and again for that host, where its address may change; empty for an address.
    """

    port: int
    certificates: Path
    scratch: Path
    superlink: str
    ipv6: bool = False
    resolver: str = ""


def here(folder: Folder) -> Place:
    """The place of a plain process on the SuperLink's machine."""
    return Place(
        port=folder.port,
        certificates=folder.coordinator,
        scratch=folder.state / "nginx",
        superlink=folder.superlink,
        ipv6=has_ipv6(),
    )


def in_container() -> Place:
    """The place of a container on the SuperLink's network."""
    return Place(
        port=CONTAINER_PORT,
        certificates=CONTAINER / "coordinator",
        scratch=Path("/tmp"),  # noqa: S108 - the container's own
        superlink=CONTAINER_SUPERLINK,
        resolver=CONTAINER_RESOLVER,
    )


def configuration(place: Place) -> str:
    """The text of ``nginx.conf``.

    Raises:
        UsageError: a path that nginx cannot read.
    """
    for path in (place.certificates, place.scratch):
        if set(str(path)) & set('"$\\\n'):
            raise UsageError(f"nginx reads no path with a quote, a dollar or a backslash: {path}; move the folder")
    if place.resolver:  # a name in a variable is looked up again; one in an upstream only at the start
        host, _, port = place.superlink.partition(":")
        upstream = f"  resolver {place.resolver} valid=5s;\n"
        target = f"      set $superlink {host};\n      proxy_pass https://$superlink:{port};"
    else:
        upstream = _UPSTREAM.format(address=place.superlink)
        target = "      proxy_pass https://superlink;"
    return _TEMPLATE.format(
        scratch=place.scratch,
        certificates=place.certificates,
        port=place.port,
        listen_ipv6=f"\n    listen [::]:{place.port} ssl;" if place.ipv6 else "",
        body_limit=BODY_LIMIT,
        body_memory=BODY_MEMORY,
        address_connections=CONNECTIONS_OF_AN_ADDRESS,
        connections=CONNECTIONS,
        upstream=upstream,
        target=target,
    )


def program() -> str:
    """Where nginx is.

    Raises:
        FederationError: it is not installed.
    """
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    found = shutil.which("nginx", path=os.pathsep.join(places))
    if found is None:
        raise FederationError(
            "nginx is not installed; install it (apt-get install nginx-light), or put a proxy of your own before the "
            "SuperLink and use --no-proxy"
        )
    return found


def command(configuration: Path) -> list[str]:
    """The command line of nginx; it needs no root and writes to its scratch folder alone.

    Raises:
        FederationError: nginx is not installed.
    """
    return [program(), "-e", "stderr", "-p", str(configuration.parent), "-c", str(configuration), "-g", "daemon off;"]
