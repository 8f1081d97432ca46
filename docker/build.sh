#!/usr/bin/env bash
# Builds the images: docker/build.sh [TARGET …], by default coordinator, site and proxy; recogniser is the fourth.
# BASE and PROXY_BASE name other base images; PIP_INDEX_URL and PIP_EXTRA_INDEX_URL another package index.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
readonly VERSION

build() {
  local target=$1 name arguments=()
  for name in BASE PROXY_BASE PIP_INDEX_URL PIP_EXTRA_INDEX_URL; do
    if [ -n "${!name:-}" ]; then arguments+=(--build-arg "$name=${!name}"); fi
  done
  # The classic builder runs where there is no buildx, and builds every stage above the target.
  docker build --force-rm --quiet --file docker/Dockerfile --target "$target" --tag "fedser-$target:$VERSION" "${arguments[@]}" . \
    > /dev/null
  # Its ID is what a site compares by telephone, when it has loaded the image that it was sent.
  echo "built fedser-$target:$VERSION $(docker image inspect --format '{{.Id}}' "fedser-$target:$VERSION")"
}

if [ $# = 0 ]; then set -- proxy site coordinator; fi
for target in "$@"; do build "$target"; done
