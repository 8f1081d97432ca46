# The second part of docker/e2e.sh: what strict kits allow, and what open ones do. Each function is a check.
# shellcheck shell=bash

# The image that a site loaded has the ID that the kit's README says, and the code that the policy allows.
kit_names_image_and_code() {
  local name id
  id=$(docker image inspect --format '{{.Id}}' "$SITE_IMAGE")
  for name in "${SITES[@]}"; do
    grep -q "At the coordinator: \`$id\`" "$WORK/kits/$name/README.md" || return 1
    [ "$(docker inspect --format '{{.Image}}' "$(container "$name" node)")" = "$id" ] || return 1
    docker exec "$(container "$name" node)" fedser site bundle --kit /kit || return 1
    (cd "$ROOT" && sha256sum --check --quiet "$WORK/kits/$name/bundle.txt") || return 1
  done
}

# A file of the code is another than the policy's: it is named, and the exit code is 1.
changed_file_is_named() {
  local said status=0 changed=$WORK/stream.py
  { cat common/privacy/stream.py; echo '# no noise'; } > "$changed"
  chmod a+r "$changed"
  said=$(lone --rm --network none --volume "$WORK/kits/st-mary:/kit:ro" \
    --volume "$changed:/app/common/privacy/stream.py:ro" "$SITE_IMAGE" fedser site bundle --kit /kit) || status=$?
  [ "$status" = 1 ] || return 1
  grep -q 'common/privacy/stream.py  CHANGED' <<< "$said" && [ "$(grep -c CHANGED <<< "$said")" = 1 ]
}

# A run without privacy ends at once, as a mistake of the user's, and each site's line is shown; nothing of it ran.
strict_kits_refuse_a_plain_run() {
  local said status=0 name
  said=$(federate --rounds 1 --out plain 2>&1) || status=$?
  [ "$status" = 2 ] || { say "exit code $status: $said"; return 1; }
  for name in "${SITES[@]}"; do
    grep -q "$name: refused by the site's policy: the run is not private, .*(privacy.unit)" <<< "$said" || { say "$said"; return 1; }
  done
  refused test -e "$WORK/fl/runs/plain/events.jsonl"
}

# Each site's node noted what the run cost its people, within the run's ε and the site's budget.
private_run_ends() {
  local name
  federate --rounds 1 --epsilon 8 --out private || return 1
  whole_run private 1 || return 1
  for name in "${SITES[@]}"; do
    docker exec "$(container "$name" node)" python -c '
import json, sys
spent = [line["epsilon_after"] for line in map(json.loads, open("/state/audit/audit.jsonl")) if line.get("epsilon_after")]
sys.exit(None if spent and 0 < max(spent) < 16 else f"spent: {spent}")' || return 1
  done
}

# Each site hears through its own copy of the encoder that its policy names by SHA-256.
encoder_run_ends() {
  local name sha policy
  sha=$(sha256sum "$WORK/fl/held-out/encoder/model.safetensors" | cut -d ' ' -f 1)
  for name in "${SITES[@]}"; do
    policy=$(sed "s/^encoders = .*/encoders = [\"$sha\"]/" "$WORK/kits/$name/policy.toml")
    echo "$policy" > "$WORK/kits/$name/policy.toml"
  done
  federate --rounds 1 --encoder /fl/held-out/encoder --out encoded || return 1
  whole_run encoded 1 && grep -q "$sha" "$WORK/fl/runs/encoded/result.json"
}

# policies_of --strict|--open: the sites agree to what such a kit allows, of which init makes strict ones unless it is told
# otherwise. It holds from the next message on.
policies_of() {
  local name folder=$WORK/fl$1 more=()
  [ "$1" = --strict ] || more=("$1")
  [ -e "$folder" ] || "$FEDSER" federation init "$folder" --host "$HOST" --sites "$(IFS=,; echo "${SITES[*]}")" \
    --classes "$CLASSES" "${more[@]}" || return 1
  for name in "${SITES[@]}"; do
    mkdir -p "$folder/$name"
    "$PYTHON" -m zipfile --extract "$folder/sites/$name.zip" "$folder/$name" || return 1
    cat "$folder/$name/policy.toml" > "$WORK/kits/$name/policy.toml" || return 1
  done
  head -n 1 "$WORK/kits/$name/policy.toml" | grep -qi "^# an\? ${1#--} kit"
}
