# The first part of docker/e2e.sh: engine, images, recordings, the coordinator's folder and the sites' kits.
# shellcheck shell=bash

see_to_engine() {
  local said status=0
  said=$(docker/engine.sh) || status=$?
  if [ "$status" = 3 ]; then
    rmdir "$WORK"
    say "SKIPPED: $said"
    exit 0
  fi
  [ "$status" = 0 ] || { say "FAILED: the engine: $said"; exit 1; }
  [ -z "$said" ] || say "$said"
}

# The images, from wheels that the host's pip fetched: the build needs no network. BASE may name another base image.
build_images() {
  docker/wheelhouse.sh
  if [ -z "${BASE:-}" ]; then
    docker/base.sh
    export BASE=fedser-base:bookworm PROXY_BASE=fedser-proxy-base:bookworm
  fi
  docker/build.sh > "$WORK/check.log" 2>&1 || fail "the images are built"
}

deal_recordings() {
  local source=$RECORDINGS
  if [ -z "$source" ]; then
    say "no recordings given: this runs on made-up speech"
    source=$WORK/synthetic
    "$FEDSER" corpus synthesize "$source" --layout emodb --speakers 10 --utterances 240 > /dev/null
  fi
  "$PYTHON" docker/e2e/deal.py "$source" "$WORK/data" "${SITES[@]}"
}

# As its people would: init, here of open kits, unpack them, a key made at each site and let in, the recordings named.
# Nobody but the node's user may read a site's key.
make_federation() {
  local name
  CLASSES=$(tail -n +2 "$WORK/data/held-out/manifest.csv" | cut -d , -f 2 | sort -u | paste -s -d ,)
  "$FEDSER" federation init "$WORK/fl" --host "$HOST" --sites "$(IFS=,; echo "${SITES[*]}")" --classes "$CLASSES" --open
  cp -r "$WORK/data/held-out/." "$WORK/fl/held-out"
  make_encoder "$WORK/fl/held-out/encoder"
  for name in "${SITES[@]}"; do
    cp -r "$WORK/fl/held-out/encoder" "$WORK/data/$name/encoder"
    make_site "$name"
  done
}

make_site() {
  local name=$1 kit=$WORK/kits/$1
  mkdir -p "$kit"
  "$PYTHON" -m zipfile --extract "$WORK/fl/sites/$name.zip" "$kit"
  echo "FEDSER_DATA=$WORK/data/$name" > "$kit/.env"
  sed -i 's/^encoder = ""$/encoder = "encoder"/' "$kit/site.toml"
  "$FEDSER" site keygen --kit "$kit"
  "$FEDSER" federation add-site --dir "$WORK/fl" --name "$name" --public-key "$kit/key.pub"
  chmod -R a+rX "$WORK/data/$name" "$kit"
  own_key "$kit"
}

# A small public encoder, of random weights; containers only read it.
make_encoder() {
  "$PYTHON" -c 'import pathlib, sys; from tests.common.encoders.hub_folders import whisper; whisper(pathlib.Path(sys.argv[1]))' \
    "$1" 2> /dev/null
  chmod -R a+rX "$1"
}

own_key() {
  docker run --rm --user 0 --volume "$1:/kit" "$SITE_IMAGE" sh -c 'chmod 600 /kit/key && chown 10001:10000 /kit/key'
}

free_port() {
  "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_coordinator() {
  FEDSER_PORT=$(free_port) FEDSER_CONTROL_PORT=$(free_port) FEDSER_ADMIN_PORT=$(free_port)
  export FEDSER_PORT FEDSER_CONTROL_PORT FEDSER_ADMIN_PORT
  fl up --detach
  SUPERLINK=$(container fl superlink) PROXY=$(container fl proxy)
}

# Each site has a network of its own, without a way out, on which the proxy goes by the coordinator's name.
start_sites() {
  local name
  for name in "${SITES[@]}"; do
    start_site "$name"
  done
}

start_site() {
  docker network create --internal --label "$LABEL" "$RUN-$1"
  docker network connect --alias "$HOST" "$RUN-$1" "$PROXY"
  site "$1" up --detach
}

no_cuda() {
  local image
  for image in "$SITE_IMAGE" "$COORDINATOR_IMAGE"; do
    docker run --rm --network none "$image" python -c '
import importlib.metadata, pathlib, sys, torch
names = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
found = [n for n in names if n.startswith(("nvidia", "cuda", "triton"))]
found += [p.name for p in pathlib.Path("/venv").rglob("*.so*") if "cuda" in p.name or "cudnn" in p.name]
sys.exit(str(found) if found or torch.version.cuda else 0)' || return 1
  done
}

same_bundle() {
  local code='from common.flower.bundle import build, digest; print(digest(build()))'
  [ "$(docker exec "$SUPERLINK" python -c "$code")" = "$("$PYTHON" -c "$code")" ]
}
