#!/bin/bash
# Settings from the environment, as in the official image: what has a point in its name and no capital.
set -eu
settings=()
while IFS='=' read -r -d '' name value; do
    if [[ $name =~ ^[a-z0-9_]+\.[a-z0-9_.]+$ ]]; then
        settings+=("-E$name=$value")
    fi
done </proc/self/environ
exec bin/elasticsearch "${settings[@]}"
