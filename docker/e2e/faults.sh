# The fourth part of docker/e2e.sh: one run, and what happens to it.
# shellcheck shell=bash

readonly FAULT_ROUNDS=36  # so many that it is still running when a site that was cut off for a minute is back
readonly -a QUICK=(--local-epochs 1 --least-steps 0 --batch-size 16 --seed 7)

start_long_run() {
  federate --rounds "$FAULT_ROUNDS" --out faults --min-sites 2 --round-timeout 60 "${QUICK[@]}" > "$WORK/faults.log" 2>&1 &
  LONG_RUN=$!
  within 240 at_round faults 2
}

# A site's both containers are killed in mid-round: the others go on; it comes back, and so does its share.
killed_site_comes_back() {
  docker kill "$(container charite node)" "$(container charite trainer)"
  within 240 refused took_part faults charite || return 1
  site charite up --detach
  within 240 took_part faults charite
}

cut_site_comes_back() {
  local node
  node=$(container lausanne node)
  docker network disconnect "$RUN-lausanne" "$node"
  sleep 60
  docker network connect "$RUN-lausanne" "$node"
  within 240 took_part faults lausanne
}

# The SuperLink is killed in mid-run; its supervisor starts it again, and the run goes on from its last round.
superlink_killed() {
  local before
  before=$(rounds faults)
  [ "$before" -lt "$FAULT_ROUNDS" ] || { say "the run was over after $before rounds, before the kill"; return 1; }
  docker exec "$SUPERLINK" bash -c 'for p in /proc/[0-9]*; do
    if tr "\0" " " < "$p/cmdline" | grep -qE "^[^ ]*python[^ ]* [^ ]*/flower-superlink "; then kill -9 "${p#/proc/}"; fi
  done 2> /dev/null; true'
  refused wait "$LONG_RUN" || { say "the run went on without its SuperLink"; return 1; }
  within 120 online 3 || return 1
  fl exec -T superlink fedser federation run --dir /fl --resume faults > "$WORK/resumed.log" 2>&1 &
  LONG_RUN=$!
  within 120 at_round faults $((before + 1))
}

long_run_ends() {
  wait "$LONG_RUN" || { cat "$WORK/resumed.log"; return 1; }
  whole_run faults "$FAULT_ROUNDS"
}

# whole_run RUN ROUNDS: each round is there once, and the result is.
whole_run() {
  [ -s "$WORK/fl/runs/$1/result.json" ] && [ -s "$WORK/fl/runs/$1/report.html" ] || return 1
  "$PYTHON" - "$WORK/fl/runs/$1/events.jsonl" "$2" << 'PYTHON'
import json, sys
rounds = [json.loads(line)["round"] for line in open(sys.argv[1])]
sys.exit(0 if rounds == list(range(1, int(sys.argv[2]) + 1)) else f"rounds {rounds}")
PYTHON
}

# At most 0.05 UAR below a run that nothing happened to.
as_good_as_undisturbed() {
  "$PYTHON" - "$WORK/fl/runs/faults/result.json" "$WORK/simulated-long/result.json" << 'PYTHON'
import json, sys
disturbed, calm = (json.load(open(path))["summary"]["uar"]["mean"] for path in sys.argv[1:3])
print(f"UAR {disturbed:.3f} with the faults, {calm:.3f} without")
sys.exit(calm - disturbed > 0.05)
PYTHON
}
