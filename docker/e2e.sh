#!/usr/bin/env bash
# The deployment's whole story on a real Docker engine: docker/e2e.sh [RECORDINGS]
# RECORDINGS is a flat folder of EMO-DB; without it the speech is made up. Three sites and a coordinator train over TLS,
# on networks of their own: without privacy, as open kits allow, then privately, as strict ones ask. Sites are killed, cut
# off, revoked; code is changed, certificates expire. It ends with one line, and leaves nothing behind but the images
# (KEEP=1 leaves all). Where no engine can be had: SKIPPED: and why.
set -euo pipefail
RECORDINGS=${1:+$(cd "$1" && pwd)}
cd "$(dirname "$0")/.."
ROOT=$PWD
PYTHON=${PYTHON:-$ROOT/.venv/bin/python} FEDSER=${FEDSER:-$ROOT/.venv/bin/fedser}
VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
SITE_IMAGE=fedser-site:$VERSION COORDINATOR_IMAGE=fedser-coordinator:$VERSION PROXY_IMAGE=fedser-proxy:$VERSION
RUN=fedser-e2e-$$ LABEL=fedser-e2e=$$
WORK=$(mktemp -d)
ROUNDS=3
readonly RECORDINGS ROOT PYTHON FEDSER VERSION SITE_IMAGE COORDINATOR_IMAGE PROXY_IMAGE RUN LABEL WORK ROUNDS
export PYTHON PYTHONPATH=$ROOT FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 OMP_NUM_THREADS=1

. docker/e2e/lib.sh
. docker/e2e/setup.sh
. docker/e2e/kits.sh
. docker/e2e/sums.sh
. docker/e2e/walls.sh
. docker/e2e/faults.sh
. docker/e2e/figures.sh

set_up() {
  see_to_engine
  trap clean_up EXIT
  [ -x "$FEDSER" ] || make -s install
  build_images
  check "the images hold no CUDA" no_cuda
  deal_recordings
  make_federation
}

# The same recordings, sites and seed as a simulation; a second one as long as the run with the faults.
simulate() {
  "$FEDSER" simulate --corpus manifest --root "$WORK/data/all.csv" --held-out split --sites column --out "$@"
}

train() {
  BEGAN=$(date +%s.%N)
  start_coordinator > "$WORK/up.log" 2>&1
  start_sites >> "$WORK/up.log" 2>&1
  check "three sites are online" within 180 online 3
  check "host and image send the same bundle" same_bundle
  IDLE=$(idle_memory)
  check "a run of $ROUNDS rounds ends" federate --rounds "$ROUNDS" --out first --seed 7
  check "it leaves result.json and report.html, and every round once" whole_run first "$ROUNDS"
  check "simulation of the same ends" simulate "$WORK/simulated" --rounds "$ROUNDS" --seed 7
  check "its weights are those of fedser simulate, to 1e-5" \
    "$PYTHON" docker/e2e/same.py "$WORK/fl/runs/first/model.safetensors" "$WORK/simulated/model.safetensors"
}

strict() {
  check "each kit names the image's ID, and the code that is in it" kit_names_image_and_code
  check "a changed file of the code is named" changed_file_is_named
  check "the sites agree to a strict kit's policy, without a restart" policies_of --strict
  check "strict kits refuse a run without privacy, and the coordinator is told why by site" strict_kits_refuse_a_plain_run
  check "a private run ends, within the sites' budgets" private_run_ends
  check "the sites agree to an open kit's policy again" policies_of --open
  check "a run with an encoder ends, once the sites' policies name it" encoder_run_ends
}

sums() {
  check "a fourth site comes in" fourth_site_comes_in
  check "each site pins the keys of all, and shows the digest that the coordinator does" roster_is_pinned
  check "policies that ask for masks refuse a run without, and the coordinator is told why by site" masks_are_required
  check "a run behind masks ends, with one of four sites killed in it" masked_run_ends
  check "of no site anything is told in it beside the sums" nothing_beside_the_sums
  check "a site's key of the run is its node's alone, and is deleted when the run is over" run_keys_are_gone
  check "the fourth site leaves, and the others agree to an open kit's policy again" fourth_site_leaves
}

walls() {
  check "root is read-only, no capabilities, no new privileges, no root" hardened
  check "the authority's key is in no container" ca_key_in_no_container
  check "SuperLink and admin page are published on loopback alone" loopback_only
  check "a site's call to start a run is refused" intrude start-run
  check "no path but the fleet's gets through the proxy, dotted and encoded ones included" intrude paths
  check "the SuperLink is out of a site's reach" intrude behind
  check "plain HTTP is refused" intrude plain
  check "old TLS is refused" intrude old-tls
  check "the trainer reaches its node alone, and sees no key, policy or log" trainer_is_shut_in
  check "an expired certificate is refused with a clear word" expired_certificate
  check "a site that answers as another is not in the run, the others are" impostor
  check "changed code is refused, runs nowhere, and the nodes stay up" changed_bundle
  check "no name of a recording or speaker reaches the server" no_name_leaves
}

faults() {
  check "simulation of $FAULT_ROUNDS rounds ends" simulate "$WORK/simulated-long" --rounds "$FAULT_ROUNDS" "${QUICK[@]}"
  check "a run of $FAULT_ROUNDS rounds begins" start_long_run
  check "a site is killed in mid-round: the others go on, and it comes back" killed_site_comes_back
  check "the SuperLink is killed: run --resume goes on from the last round" superlink_killed
  check "a site that is cut off for a minute comes back" cut_site_comes_back
  check "the run ends, every round there once" long_run_ends
  if [ -n "$RECORDINGS" ]; then check "the model is as good as without the faults" as_good_as_undisturbed; fi
  check "every site's audit log is sound, and the coordinator's is what the sites were told" audit_is_sound
  check "a revoked site is refused" revoked
}

set_up
train
strict
sums
walls
faults
figures
LAST="$CHECKS checks passed in $((SECONDS / 60)) min $((SECONDS % 60)) s"
