# What the parts of docker/e2e.sh share: reporting, waiting, the coordinator's and the sites' containers.
# shellcheck shell=bash

CHECKS=0 LAST=""
readonly SITES=(st-mary charite lausanne) FOURTH=basel HOST=fl.example.org

say() {
  printf '%s\n' "$*"
}

# check "what holds" COMMAND …: the command's output is shown only where it fails.
check() {
  local what=$1 began=$SECONDS
  shift
  "$@" > "$WORK/check.log" 2>&1 || fail "$what"
  CHECKS=$((CHECKS + 1))
  say "ok: $what ($((SECONDS - began)) s)"
}

# The last word comes after the tearing down, as the last line.
fail() {
  LAST="FAILED: $1"
  say "$LAST"
  tail -n 30 "$WORK/check.log" 2> /dev/null || true
  show_logs
  exit 1
}

show_logs() {
  local id
  for id in $(docker ps --all --quiet --filter "label=$LABEL") $(compose_containers); do
    say "--- $(docker inspect --format '{{.Name}} {{.State.Status}}' "$id")"
    docker logs --tail 25 "$id" 2>&1 | cut -c 1-300
  done
}

compose_containers() {
  local project
  for project in fl "${SITES[@]}" "$FOURTH"; do
    docker ps --all --quiet --filter "label=com.docker.compose.project=$RUN-$project"
  done
}

# within SECONDS COMMAND …: until the command succeeds.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 1
  done
}

# refused COMMAND …: the command must fail.
refused() {
  ! "$@"
}

compose() {
  if docker compose version > /dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

# The coordinator's containers, from its own folder as its people would.
fl() (
  cd "$WORK/fl" && compose --project-name "$RUN-fl" "$@" < /dev/null
)

# A site's containers, from its kit; the extra file puts it on a network that reaches the proxy alone.
site() (
  cd "$WORK/kits/$1" && FEDSER_E2E_NETWORK="$RUN-$1" compose --project-name "$RUN-$1" \
    --file compose.yaml --file "$ROOT/docker/e2e/site.yaml" "${@:2}" < /dev/null
)

container() {
  docker ps --all --quiet --filter "label=com.docker.compose.project=$RUN-$1" \
    --filter "label=com.docker.compose.service=$2"
}

# A container of our own beside those of compose, with the same hardening.
lone() {
  docker run --label "$LABEL" --read-only --tmpfs /tmp:mode=1777 --cap-drop ALL \
    --security-opt no-new-privileges:true "$@"
}

federate() {
  fl exec -T superlink fedser federation run --dir /fl --corpus manifest --root /fl/held-out "$@"
}

online() {
  local count
  count=$(grep -c '"online": true' "$WORK/fl/state/status.json" 2> /dev/null) || true
  [ "${count:-0}" -ge "$1" ]
}

rounds() {
  { cat "$WORK/fl/runs/$1/events.jsonl" 2> /dev/null || true; } | wc -l
}

at_round() {
  [ "$(rounds "$1")" -ge "$2" ]
}

# took_part RUN SITE: in the last round so far.
took_part() {
  tail -n 1 "$WORK/fl/runs/$1/events.jsonl" | "$PYTHON" -c \
    'import json, sys; sys.exit(sys.argv[1] not in json.loads(sys.stdin.readline())["sites"])' "$2"
}

# logged CONTAINER PATTERN; grep reads to the end, else docker would fail for a closed pipe.
logged() {
  docker logs "$1" 2>&1 | grep -iE "$2" > /dev/null
}

clean_up() {
  local name
  if [ -n "${KEEP:-}" ]; then
    say "kept, to be looked at: $WORK, containers and networks $RUN-*"
    [ -z "$LAST" ] || say "$LAST"
    return
  fi
  say "tearing it down"
  docker ps --all --quiet --filter "label=$LABEL" | xargs --no-run-if-empty docker rm --force > /dev/null
  for name in "${SITES[@]}" "$FOURTH"; do
    if [ -e "$WORK/kits/$name/compose.yaml" ]; then site "$name" down --volumes --timeout 5 > /dev/null 2>&1 || true; fi
  done
  if [ -e "$WORK/fl/compose.yaml" ]; then
    fl down --volumes --timeout 5 > /dev/null 2>&1 || true
  fi
  docker network ls --quiet --filter "label=$LABEL" | xargs --no-run-if-empty docker network rm > /dev/null
  # What containers wrote may belong to their users.
  rm -rf "$WORK" 2> /dev/null || {
    docker run --rm --user 0 --volume "$WORK:/work" "$SITE_IMAGE" find /work -mindepth 1 -delete
    rmdir "$WORK"
  }
  [ -z "$LAST" ] || say "$LAST"
}
