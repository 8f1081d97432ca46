"""What the compose files promise: who reaches whom, who sees what, and that nobody can do more than it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

DOCKER = Path(__file__).parents[2] / "docker"


def compose(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))
    return content


COORDINATOR, SITE = compose("compose.yaml"), compose("site/compose.yaml")
SERVICES = [
    pytest.param(service, id=name) for content in (COORDINATOR, SITE) for name, service in content["services"].items()
]


def sources(service: dict[str, Any]) -> dict[str, str]:
    """What is mounted, by its place in the container."""
    mounts = [volume.rpartition("}:") if "}:" in volume else ("", "", volume) for volume in service["volumes"]]
    found = {}
    for before, brace, rest in mounts:
        parts = [before + brace[:1], *rest.split(":")] if before else rest.split(":")
        found[parts[1]] = parts[0]
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_hardened(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit", "tmpfs", "restart"} <= service.keys()
    assert not {"privileged", "network_mode", "pid", "ipc", "devices", "cap_add"} & service.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_is_root(service: dict[str, Any]) -> None:
    user = service["user"].replace("${FEDSER_UID:-", "").split("}")[0].split(":")[0]
    assert int(user) >= 10000


@pytest.mark.parametrize("service", SERVICES)
def test_no_container_has_the_engine_or_the_authority(service: dict[str, Any]) -> None:
    mounted = sources(service)
    assert not any("docker.sock" in source or source.startswith(("./ca", "/", "..")) for source in mounted.values())


def test_the_coordinators_folder_is_never_mounted_whole() -> None:
    for service in COORDINATOR["services"].values():
        assert not {".", "./"} & set(sources(service).values())


def test_only_the_proxy_is_published_to_others() -> None:
    services = COORDINATOR["services"]
    assert [port.split("}:")[-1] for port in services["proxy"]["ports"]] == ["8443"]
    assert all(port.startswith("127.0.0.1:") for port in services["superlink"]["ports"])
    assert not any("ports" in service for service in SITE["services"].values())


def test_sites_meet_the_proxy_and_not_the_superlink() -> None:
    services = COORDINATOR["services"]
    assert set(services["proxy"]["networks"]) == {"control", "sites"}
    assert services["superlink"]["networks"] == ["control"]


def test_the_trainer_has_no_way_out() -> None:
    services = SITE["services"]
    assert services["trainer"]["networks"] == ["inside"]
    assert SITE["networks"]["inside"] == {"internal": True}
    assert set(services["node"]["networks"]) == {"inside", "outside"}
    assert services["trainer"]["dns"] == ["192.0.2.1"]  # TEST-NET-1: nobody is there


def test_the_node_hands_out_work_on_the_inner_network_alone() -> None:
    node, trainer = SITE["services"]["node"], SITE["services"]["trainer"]
    assert node["networks"]["inside"]["aliases"] == ["desk"]
    assert "aliases" not in node["networks"]["outside"]
    assert node["command"][node["command"].index("--listen") + 1] == "desk:9094"
    assert trainer["command"][trainer["command"].index("--node") + 1] == "desk:9094"


def test_node_and_trainer_are_two_users_of_one_group() -> None:
    users = {name: service["user"].split(":") for name, service in SITE["services"].items()}
    assert users == {"node": ["10001", "10000"], "trainer": ["10002", "10000"]}


def test_the_trainer_sees_no_kit_and_no_audit_log() -> None:
    mounted = sources(SITE["services"]["trainer"])
    assert mounted.keys() == {"/data", "/state/ledger", "/state/cache", "/state/strategy", "/state/desk"}
    assert not any(source.startswith((".", "audit")) for source in mounted.values())


def test_the_node_sees_no_recording() -> None:
    mounted = sources(SITE["services"]["node"])
    assert mounted == {"/kit": "./", "/state/ledger": "ledger", "/state/audit": "audit", "/state/desk": "desk"}


def test_the_trainer_reads_the_nodes_secret_and_cannot_change_it() -> None:
    assert "desk:/state/desk:ro" in [volume.split("  #")[0] for volume in SITE["services"]["trainer"]["volumes"]]
    assert "install -d -o node -g fedser -m 2750 /state/desk" in (DOCKER / "Dockerfile").read_text(encoding="utf-8")


def test_what_sites_send_waits_on_a_disk() -> None:
    assert "bodies:/tmp/body" in COORDINATOR["services"]["proxy"]["volumes"]
    assert "install -d -m 1777 /tmp/body" in (DOCKER / "Dockerfile").read_text(encoding="utf-8")


def test_recordings_and_kit_cannot_be_written() -> None:
    for service in SITE["services"].values():
        for volume in service["volumes"]:
            if volume.split(":")[0] not in SITE["volumes"]:
                assert volume.endswith(":ro")


def test_the_image_has_the_folders_that_volumes_take_their_owner_from() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    for place, owner in (
        ("ledger", "node"),
        ("audit", "node"),
        ("cache", "trainer"),
        ("strategy", "trainer"),
        ("flwr", "trainer"),
    ):
        assert f"install -d -o {owner} -g fedser" in text
        assert f"/state/{place}" in text


def test_every_image_runs_as_somebody_and_is_pinned() -> None:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert text.count("\nUSER 1000") == 4
    assert "--constraint /constraints.txt" in text
    assert ":latest" not in text


@pytest.mark.parametrize("name", ["compose.yaml", "site/compose.yaml"])
def test_images_are_of_this_version(name: str) -> None:
    version = next(
        line.split('"')[1]
        for line in (DOCKER.parent / "pyproject.toml").read_text().splitlines()
        if line[:7] == "version"
    )
    images = [service["image"] for service in compose(name)["services"].values()]
    assert all(image.endswith(f":{version}}}") for image in images)
