# The third part of docker/e2e.sh: who may do what. Each function is a check.
# shellcheck shell=bash

# intrude TRIAL: from the container of st-mary's node.
intrude() {
  local address
  address=$(docker inspect --format "{{(index .NetworkSettings.Networks \"${RUN}-fl_control\").IPAddress}}" "$SUPERLINK")
  docker exec --interactive "$(container st-mary node)" python - "$HOST" 8443 /kit/ca.crt "$address" "$1" \
    < docker/e2e/intruder.py
}

loopback_only() {
  local port
  for port in 8000 8080; do
    [[ $(docker port "$SUPERLINK" "$port/tcp") == 127.0.0.1:* ]] || return 1
  done
}

ca_key_in_no_container() {
  local id
  for id in $(compose_containers); do
    refused docker exec "$id" sh -c 'find / -name ca.key -not -path "/proc/*" 2> /dev/null | grep .' || return 1
  done
}

hardened() {
  local id
  for id in $(compose_containers); do
    refused docker exec "$id" touch /probe || return 1
    docker exec "$id" grep -q '^NoNewPrivs:.*1$' /proc/1/status || return 1
    docker exec "$id" grep -q '^CapBnd:.*0000000000000000$' /proc/1/status || return 1
    [ "$(docker exec "$id" id -u)" != 0 ] || return 1
  done
}

# The trainer reaches its node, and nothing else; it sees no key, of a run neither, no policy, no audit log. Nobody else reaches the node.
trainer_is_shut_in() {
  local id target node address
  id=$(container st-mary trainer) node=$(container st-mary node)
  docker exec "$id" bash -c '< /dev/tcp/desk/9094' || return 1
  address=$(docker inspect --format '{{range $name, $of := .NetworkSettings.Networks}}{{$name}} {{$of.IPAddress}}
{{end}}' "$node" | awk '$1 !~ /inside$/ { print $2 }')
  [ -n "$address" ] || return 1
  refused docker exec "$node" timeout 5 bash -c "< /dev/tcp/$address/9094" || return 1
  for target in "$HOST/8443" 1.1.1.1/443 deb.debian.org/80 "$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.Gateway}} {{end}}' "$PROXY" | cut -d ' ' -f 1)/$FEDSER_PORT"; do
    refused docker exec "$id" timeout 5 bash -c "< /dev/tcp/$target" || return 1
  done
  refused docker exec "$id" sh -c 'ls /kit || ls /state/audit/audit.jsonl || ls /state/audit/sums'
}

# A coordinator whose certificate ended a day ago: the site's log says so.
expired_certificate() {
  "$PYTHON" docker/e2e/expired.py "$WORK/fl" "$WORK/expired" || return 1
  docker run --rm --user 0 --volume "$WORK/expired:/fl/coordinator" "$SITE_IMAGE" chown -R 10000:10000 /fl/coordinator || return 1
  docker network create --internal --label "$LABEL" "$RUN-expired" || return 1
  lone --detach --name "$RUN-expired-proxy" --network "$RUN-expired" --network-alias "$HOST" --volume "$WORK/expired:/fl/coordinator:ro" "$PROXY_IMAGE" || return 1
  lone --detach --name "$RUN-expired-node" --network "$RUN-expired" --volume "$WORK/kits/st-mary:/kit:ro" "$SITE_IMAGE" \
    fedser site node --kit /kit --state /tmp/state --data /data || return 1
  within 60 logged "$RUN-expired-node" 'certificate.*expired' || { docker logs "$RUN-expired-node"; return 1; }
  docker rm --force "$RUN-expired-node" "$RUN-expired-proxy"
}

# st-mary's kit says that it is charite: the key is st-mary's, and the run goes on without it.
impostor() {
  local kit=$WORK/kits/st-mary said
  sed -i.bak 's/^name = .*/name = "charite"/' "$kit/site.toml"
  site st-mary up --detach --force-recreate node
  within 90 online 3 || return 1
  said=$(federate --rounds 1 --out impostor 2>&1) || { say "$said"; return 1; }  # with the two others
  mv "$kit/site.toml.bak" "$kit/site.toml"
  site st-mary up --detach --force-recreate node
  grep -q "st-mary does not take part: it calls itself charite, but its key is st-mary's" <<< "$said" ||
    { say "$said"; return 1; }
  within 90 online 3
}

# The coordinator sends other code, which would read a file: no site runs any of it, and all stay up.
changed_bundle() {
  local name changed=$WORK/changed.py
  { cat client/app.py; printf '%s\n' 'import pathlib' \
    'pathlib.Path("/state/cache/ran").write_text(pathlib.Path("/etc/passwd").read_text())'; } > "$changed"
  chmod a+r "$changed"
  refused lone --rm --network "container:$SUPERLINK" --volumes-from "$SUPERLINK" --env FEDSER_HOME=/fl \
    --volume "$changed:/app/client/app.py:ro" "$COORDINATOR_IMAGE" \
    fedser federation run --dir /fl --corpus manifest --root /fl/held-out --rounds 1 --out changed || return 1
  for name in "${SITES[@]}"; do
    refused docker exec "$(container "$name" trainer)" ls /state/cache/ran || return 1
    docker exec "$(container "$name" node)" grep -q '"refused".*none of the 1 that are allowed' /state/audit/audit.jsonl || return 1
    [ "$(docker inspect --format '{{.State.Running}} {{.RestartCount}}' "$(container "$name" node)")" = "true 0" ] || return 1
  done
  within 60 online 3
}

# A recording whose name tells of a patient cannot be read: the run hears that charite failed, and not of what.
no_name_leaves() {
  local list=$WORK/data/charite/manifest.csv
  cp "$list" "$WORK/manifest.csv"
  head -c 2000 /dev/urandom > "$WORK/data/charite/patient_0042.wav"
  echo 'patient_0042.wav,anger,patient_0042' >> "$list"
  refused federate --rounds 1 --out leak --strict || return 1
  cp "$WORK/manifest.csv" "$list"
  rm "$WORK/data/charite/patient_0042.wav"
  logged "$(container charite trainer)" patient_0042 || { say "the site's own log does not name it: was it read?"; return 1; }
  server_is_silent_about patient_0042
}

server_is_silent_about() {
  local id
  for id in "$SUPERLINK" "$PROXY"; do
    refused sh -c "docker logs $id 2>&1 | grep '$1'" || return 1
    refused docker exec "$id" grep -rl "$1" /tmp || return 1
  done
  refused grep -rl "$1" "$WORK/fl"
}

# Each site's own log; the coordinator's of two runs, the second of which was gone on with, held against it.
audit_is_sound() {
  local name run
  for name in "${SITES[@]}"; do
    for run in first faults; do
      install -m 644 "$WORK/fl/runs/$run/audit.jsonl" "$WORK/kits/$name/$run.jsonl" || return 1
      docker exec "$(container "$name" node)" \
        fedser site audit verify --state /state --coordinator "/kit/$run.jsonl" || return 1
    done
  done
}

# A revoked key gets in no more, and the others go on.
revoked() {
  "$FEDSER" federation revoke-site --dir "$WORK/fl" --name lausanne || return 1
  within 60 refused online 3 || return 1
  site lausanne restart node
  within 90 logged "$(container lausanne node)" 'revoked' || return 1
  refused online 3
}
