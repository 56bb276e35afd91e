#!/usr/bin/env bash
# An unmodified llama-server with Spolia in front of it, asked with curl:
#
#     examples/llama_server.sh MODEL.gguf      # any chat model that llama.cpp runs
#
# SPOLIA and LLAMA_SERVER name the programs, if they are not build/bin/spolia and the llama-server
# that scripts/setup built. What matters of the server's command line:
#
#   --slot-save-path DIR/    the folder that prompts are handed over in; Spolia's --slot-dir
#   --cache-ram 0            else it brings back what its slots held, composed rows too
#   --parallel N             slots; Spolia gives each request one
set -euo pipefail
cd "$(dirname "$0")/.."

model=${1:?usage: examples/llama_server.sh MODEL.gguf}
spolia=${SPOLIA:-build/bin/spolia}
llama_server=${LLAMA_SERVER:-.deps/llama/bin/llama-server}
folder=$(mktemp -d)
slots=$(mktemp -d /dev/shm/spolia.XXXXXX)
trap 'kill ${pids[@]+"${pids[@]}"} 2>/dev/null && wait 2>/dev/null; rm -rf "$folder" "$slots"' EXIT
pids=()

free_port() {
    python3 -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}

port=$(free_port)
"$llama_server" --model "$model" --host 127.0.0.1 --port "$port" --ctx-size 8192 --parallel 2 \
    --slot-save-path "$slots/" --cache-ram 0 >"$folder/llama-server.log" 2>&1 &
pids+=($!)

# The model's path, the slots and the chat template come from the server.
"$spolia" serve --upstream "http://127.0.0.1:$port" --upstream-kind llama-server \
    --slot-dir "$slots" --cache-dir "$folder/blocks" --port 0 --log-format json \
    >"$folder/spolia.log" 2>&1 &
pids+=($!)
until grep -q "put into the llama-server's slots" "$folder/spolia.log"; do
    for pid in "${pids[@]}"; do kill -0 "$pid" || { cat "$folder"/*.log; exit 1; }; done
    if grep -q "left to the" "$folder/spolia.log"; then cat "$folder/spolia.log"; exit 1; fi
    sleep 0.1
done
front=$(sed -n 's/.*"message":"listening.*"port":\([0-9]*\).*/\1/p' "$folder/spolia.log")
url=http://127.0.0.1:$front

json_text() { python3 -c 'import json, sys; print(json.dumps(sys.stdin.read()))'; }
readme=$(head -c 1500 README.md | json_text)
notes=$(head -c 1500 CONTRIBUTING.md | json_text)

echo "Two documents are registered, and encoded at once:"
curl -sS --fail-with-body -X PUT "$url/v1/chunks" -d "{\"texts\": [$readme, $notes]}" && echo

part() { echo "{\"type\": \"text\", \"text\": $1}"; }
ask() {
    local content="$1, $(part '"What is this about?"')"
    curl -sS --fail-with-body -D "$folder/head" "$url/v1/chat/completions" -d "{
        \"messages\": [{\"role\": \"user\", \"content\": [$content]}],
        \"max_tokens\": 16, \"spolia\": {\"fidelity\": \"fast\"}}" && echo
    grep -i '^x-spolia' "$folder/head"
}
echo "Asked about both, and in the other order: see timings.cache_n and x-spolia-reused"
ask "$(part "$readme"), $(part "$notes")"
ask "$(part "$notes"), $(part "$readme")"

echo "What the handovers came to:"
curl -sS "$url/metrics" | grep '^spolia_handover'
