from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.errors import UsageError
from server.federation.folder.coordinator_folder import Folder
from server.federation.service import proxy


def test_what_passes_is_one_word_below_the_fleet() -> None:
    folder = Folder(root=Path("/srv/federation"), host="fl.example.org", port=9443, superlink_port=8001)
    text = proxy.configuration(proxy.here(folder))
    [allowed] = re.findall(r'\$allowed \{ default 0; "~(.*)" 1; \}', text)
    assert re.search(allowed, "/v1/fleet/pull-messages")
    for path in (
        "/v1/fleet/",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/a/b",
        "/v1/fleet/pull-messages?x=1",
        "//v1/fleet/pull-messages",
        "/v1/control/start-run",
        "/v1/runtime/pull-messages",
        "/V1/fleet/pull-messages",
        "http://localhost/v1/fleet/pull-messages",
    ):
        assert not re.search(allowed, path)
    assert "listen 9443 ssl;" in text
    assert "server 127.0.0.1:8001;" in text
    assert 'ssl_certificate_key "/srv/federation/coordinator/server.key";' in text
    assert text.count("proxy_pass") == 1
    assert "proxy_ssl_verify on;" in text
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in text


def test_in_a_container_the_superlink_may_change_its_address() -> None:
    text = proxy.configuration(proxy.in_container())
    assert "listen 8443 ssl;" in text
    assert "resolver 127.0.0.11 valid=5s;" in text
    assert "set $superlink superlink;\n      proxy_pass https://$superlink:8000;" in text
    assert 'ssl_certificate "/fl/coordinator/server.crt";' in text
    assert 'pid "/tmp/nginx.pid";' in text
    assert "upstream" not in text


@pytest.mark.parametrize("ipv6", [True, False])
def test_it_listens_on_ipv6_where_there_is_one(ipv6: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "has_ipv6", lambda: ipv6)
    text = proxy.configuration(proxy.here(Folder(root=Path("/srv/federation"), host="fl.example.org")))
    assert ("listen 8443 ssl;" in text, "listen [::]:8443 ssl;" in text) == (True, ipv6)


def test_a_path_that_nginx_would_misread(tmp_path: Path) -> None:
    folder = Folder(root=tmp_path / 'a"b', host="fl.example.org")
    with pytest.raises(UsageError, match="nginx reads no path with a quote"):
        proxy.configuration(proxy.here(folder))
