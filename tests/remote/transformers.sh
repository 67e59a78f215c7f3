#!/bin/sh
# `--engine openai:URL` against `transformers serve` with the pocket: the agent has to find and say the same as with Loupe's own
# engine, for every question of the Atlas's samples. Installs PyTorch the first time; VENV names a folder that is kept.
set -eu
cd "$(dirname "$0")/../.."
venv=${VENV:-target/test/transformers}
port=${PORT:-8795}
loupe=target/release/loupe

if ! [ -x "$venv/bin/transformers" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q 'transformers[serving]==5.23.0' torch==2.15.0 torchvision==0.29.2
fi
cargo build --release --bin loupe
atlas=target/test/atlas
[ -d "$atlas" ] || "$loupe" atlas build --out "$atlas"

# It lists what is in its cache, which has to be there; the pocket is named by its folder.
cache=$venv/cache
mkdir -p "$cache"
HF_HUB_CACHE=$cache "$venv/bin/transformers" serve "$PWD/server/mllm/pocket" --device cpu --dtype float32 --port "$port" >"$venv/server.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 120); do
    ! curl -sf "http://127.0.0.1:$port/v1/models" >/dev/null || break
    sleep 1
done

# What is found and said; not how long it took, nor who answered.
ask() {
    "$loupe" ask --search "local:$atlas" --image-search "local:$atlas" "$@" 2>&1 | grep -v -e ' tokens/s$' -e ' answers, dialect ' -e ' WARN '
}
python3 - "$atlas" >"$venv/questions" <<'PYTHON'
import json, sys
for sample in json.load(open(f"{sys.argv[1]}/samples/samples.json")):
    for question in sample["questions"]:
        print(f"{sys.argv[1]}{sample['url']}\t{question}")
PYTHON
asked=0
while IFS="$(printf '\t')" read -r picture question; do
    ours=$(ask "$picture" "$question")
    # The pocket is shown 64 tokens of a picture; the server's own limit is not told, and boxes are counted in what it sees.
    theirs=$(ask --engine "openai:http://127.0.0.1:$port/v1#$PWD/server/mllm/pocket" --dialect deepmm --max-pixels 50176 "$picture" "$question")
    if [ "$ours" != "$theirs" ]; then
        echo "$picture: $question" >&2
        printf '%s\n' "$ours" >"$venv/ours"
        printf '%s\n' "$theirs" | diff "$venv/ours" - >&2 || true
        exit 1
    fi
    asked=$((asked + 1))
done <"$venv/questions"
[ "$asked" -gt 0 ]
echo "ok: $asked questions are answered alike"
