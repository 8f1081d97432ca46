# The figures that docker/e2e.sh prints at its end.
# shellcheck shell=bash

# idle_memory: of one site's two containers, before any run.
idle_memory() {
  docker stats --no-stream --format '{{.MemUsage}}' "$(container st-mary node)" "$(container st-mary trainer)" |
    cut -d / -f 1 | tr -d ' ' | paste -sd ' '
}

image_sizes() {
  local image
  for image in "$COORDINATOR_IMAGE" "$SITE_IMAGE" "$PROXY_IMAGE"; do
    docker image inspect --format "{{.Size}}" "$image" | awk -v name="$image" '{printf "%s %d MB  ", name, $1 / 1e6}'
  done
}

figures() {
  say "images: $(image_sizes)"
  say "idle memory of a site, node and trainer: $IDLE"
  "$PYTHON" - "$WORK/fl/runs/first/events.jsonl" "$BEGAN" "$WORK/fl/runs/masked/events.jsonl" << 'PYTHON'
import json, statistics, sys
rounds = [json.loads(line) for line in open(sys.argv[1])]
print(f"from compose up to the end of round 1: {rounds[0]['time'] - float(sys.argv[2]):.1f} s")
over = [r["seconds"] - max(s["seconds"] or 0 for s in r["sites"].values()) for r in rounds]
print("a round's seconds beyond its slowest site's training: " + ", ".join(f"{s:.1f}" for s in over))
sent = {s["bytes"] for r in rounds for s in r["sites"].values()}
masked = [json.loads(line)["seconds"] for line in open(sys.argv[3])]
print("rounds behind masks, of quarter the training, in seconds: " + ", ".join(f"{s:.1f}" for s in masked))
print(f"bytes of weights a round a site, each way: {statistics.mean(sent):.0f}")
PYTHON
}
