#!/usr/bin/env bash
# Sees to it that a Docker engine runs here: docker/engine.sh
# Where none does, root on Debian or Ubuntu installs one and starts it; else it says why not, and exits 3.
set -euo pipefail

readonly LOG=${DOCKERD_LOG:-/var/log/fedser-dockerd.log} WAIT_SECONDS=60

running() {
  docker info > /dev/null 2>&1
}

give_up() {
  echo "no Docker engine: $*"
  exit 3
}

install_engine() {
  command -v dockerd > /dev/null && command -v debootstrap > /dev/null && command -v docker-compose > /dev/null && return
  command -v apt-get > /dev/null || give_up "none is installed, and there is no apt-get to install one"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq docker.io docker-compose debootstrap > /dev/null
}

start_engine() {
  setsid dockerd > "$LOG" 2>&1 < /dev/null &
  for _ in $(seq "$WAIT_SECONDS"); do
    running && return
    sleep 1
  done
  give_up "dockerd was installed and did not start: $(grep -E 'level=(fatal|error)|failed' "$LOG" | tail -n 1)"
}

running && exit 0
[ "$(id -u)" = 0 ] || give_up "none is running or this user may not reach it, and only root can start one"
install_engine || give_up "apt-get could not install docker.io"
running || start_engine
echo "engine: started dockerd $(docker version --format '{{.Server.Version}}')"
