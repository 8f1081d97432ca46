#!/usr/bin/env bash
# Makes the base images from Debian's archive, where no image registry is reachable: docker/base.sh
# Needs root, debootstrap and a running engine. Images that are there already are kept.
set -euo pipefail

readonly SUITE=bookworm MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly PYTHON_BASE=fedser-base:$SUITE PROXY_BASE=fedser-proxy-base:$SUITE

have_image() {
  docker image inspect "$1" > /dev/null 2>&1
}

# Nothing that a container never reads: caches, package lists, manuals, translations.
trim() {
  rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "$1"/var/log/apt
  rm -rf "$1"/usr/share/{doc,info,locale,man} "$1"/usr/share/zoneinfo/right
}

make_base() {
  local image=$1 packages=$2 root=$work/root
  have_image "$image" && return
  echo "base: $image from $MIRROR"
  debootstrap --variant=minbase --include="$packages" "$SUITE" "$root" "$MIRROR" > "$work/log" ||
    { tail -n 20 "$work/log" >&2; return 1; }
  trim "$root"
  tar -C "$root" -c . | docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$image" > /dev/null
  rm -rf "$root"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_base "$PYTHON_BASE" python3,python3-venv,ca-certificates
make_base "$PROXY_BASE" nginx-light
