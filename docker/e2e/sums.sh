# The part of docker/e2e.sh on sums behind masks. Of three sites none may be missing in one, so a fourth comes in. Each
# function is a check.
# shellcheck shell=bash

readonly MASKED_ROUNDS=3

# It has the recordings of charite once more.
fourth_site_comes_in() {
  "$FEDSER" federation init "$WORK/fl" --sites "$FOURTH" || return 1
  cp -r "$WORK/data/charite" "$WORK/data/$FOURTH" || return 1
  make_site "$FOURTH" && start_site "$FOURTH" && within 180 online 4
}

# The coordinator's command prints the digest for the telephone; a site's says the same of the file that it was sent.
roster_is_pinned() {
  local name digest policy
  "$FEDSER" federation roster --dir "$WORK/fl" > "$WORK/roster.toml" 2> "$WORK/digest" || return 1
  digest=$(tail -n 1 "$WORK/digest")
  for name in "${SITES[@]}" "$FOURTH"; do
    install -m 644 "$WORK/roster.toml" "$WORK/kits/$name/roster.toml" || return 1
    policy=$(sed 's/^peers = .*/peers = "roster.toml"/; s/^secure = .*/secure = "required"/' "$WORK/kits/$name/policy.toml")
    echo "$policy" > "$WORK/kits/$name/policy.toml"
    docker exec "$(container "$name" node)" fedser site roster --kit /kit > "$WORK/shown" || return 1
    grep -qx "$digest" "$WORK/shown" && grep -qx 'the policy names this file' "$WORK/shown" || return 1
  done
}

masks_are_required() {
  local said status=0 name
  said=$(federate --rounds 1 --out unmasked 2>&1) || status=$?
  [ "$status" = 2 ] || { say "exit code $status: $said"; return 1; }
  for name in "${SITES[@]}"; do
    grep -q "$name: refused by the site's policy: the run adds updates up in plain" <<< "$said" || { say "$said"; return 1; }
  done
}

# The fourth site is killed after the first round: the sums of the others open without it.
masked_run_ends() {
  local run
  federate --rounds "$MASKED_ROUNDS" --out masked --secure --min-sites 3 --round-timeout 60 "${QUICK[@]}" \
    > "$WORK/masked.log" 2>&1 &
  run=$!
  within 180 at_round masked 1 || { cat "$WORK/masked.log"; return 1; }
  docker exec "$(container st-mary node)" sh -c 'ls -l /state/audit/sums/keys/*.json' > "$WORK/run-keys"
  docker kill "$(container "$FOURTH" node)" "$(container "$FOURTH" trainer)" || return 1
  wait "$run" || { cat "$WORK/masked.log"; return 1; }
  whole_run masked "$MASKED_ROUNDS" && refused took_part masked "$FOURTH" && took_part masked charite
}

# What the coordinator kept of each site is that it took part; each node answered for itself, and noted it.
nothing_beside_the_sums() {
  local name
  "$PYTHON" - "$WORK/fl/runs/masked/events.jsonl" << 'PYTHON' || return 1
import json, sys
rounds = [json.loads(line) for line in open(sys.argv[1])]
told = {(name, site[key]) for r in rounds for name, site in r["sites"].items() for key in ("loss",) if site[key] is not None}
sys.exit(f"told: {told}" if told or any(r["loss"] is None for r in rounds) else 0)
PYTHON
  for name in "${SITES[@]}"; do
    docker exec "$(container "$name" node)" python -c '
import json, sys
lines = [line for line in map(json.loads, open("/state/audit/audit.jsonl")) if line["kind"] == "out"]
left = {record for line in lines if line["type"] == "train" for record in line["records"] if "masked" in line["records"]}
kinds = {line["type"] for line in lines}
sys.exit(0 if left == {"masked", "secure", "config"} and {"query.keys", "query.vote", "query.unmask"} <= kinds else f"{left} {kinds}")' || return 1
  done
}

run_keys_are_gone() {
  grep -q '^-rw-------' "$WORK/run-keys" || { cat "$WORK/run-keys"; return 1; }
  refused docker exec "$(container st-mary trainer)" ls /state/audit/sums || return 1
  within 30 refused docker exec "$(container st-mary node)" sh -c 'ls /state/audit/sums/keys/*.json'
}

fourth_site_leaves() {
  "$FEDSER" federation revoke-site --dir "$WORK/fl" --name "$FOURTH" || return 1
  site "$FOURTH" down --volumes --timeout 5 || return 1
  policies_of --open && within 60 online 3
}
