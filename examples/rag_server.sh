#!/usr/bin/env bash
# A RAG server on this repository's documents, asked with curl:
#
#     examples/rag_server.sh                       # the sample model, which fits no such question
#     examples/rag_server.sh --model model.gguf    # options are those of `spolia serve`
#
# SPOLIA names the program, if it is not build/bin/spolia.
set -euo pipefail
cd "$(dirname "$0")/.."

spolia=${SPOLIA:-build/bin/spolia}
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null && wait "$server" 2>/dev/null; rm -rf "$folder"' EXIT

"$spolia" ingest README.md ARCHITECTURE.md docs --collection spolia --cache-dir "$folder"

"$spolia" serve --cache-dir "$folder" --port 0 --log-format json "$@" >"$folder/log" 2>&1 &
server=$!
until grep -q '"message":"ready"' "$folder/log"; do
    kill -0 "$server" || { cat "$folder/log"; exit 1; }
    sleep 0.1
done
port=$(sed -n 's/.*"message":"ready".*"port":\([0-9]*\).*/\1/p' "$folder/log")
url=http://127.0.0.1:$port/v1

post() { curl -sS --fail-with-body "$url/$1" -d "$2" && echo; }

echo "What there is:"
curl -sS --fail-with-body "$url/collections" && echo

echo "The best chunk about a question:"
post retrieve '{"collection": "spolia", "query": "What is an anchor?", "k": 1}'

echo "The same question, answered from the best two chunks:"
chat='{"messages": [{"role": "user", "content": "What is an anchor?"}], "max_tokens": 24,
    "spolia": {"fidelity": "fast", "policy": "epic", "retrieve": {"collection": "spolia", "k": 2}}}'
post chat/completions "$chat"

# Seen chunks are encoded in idle time. Behind other instructions nothing of the prompt is an equal
# prefix, and the chunks' KV is reused all the same.
until curl -sS "$url/cache/stats" | grep -q '"encode_queue_depth":0'; do sleep 0.1; done
echo "Again, behind instructions: see spolia.tokens.shifted"
post chat/completions "${chat/'[{'/'[{"role": "system", "content": "Be brief."}, {'}"
