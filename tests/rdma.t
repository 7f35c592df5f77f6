#!/bin/sh
# RDMA with real queue pairs, in a guest that has software devices: tests/server/rdma-check.
cache=${KVTOOLS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kvtools}
. "${0%/*}/lib.sh"
export KVTOOLS_CACHE="$cache" KVTOOLS_OUT="${KVTOOLS_OUT:-$here/../out}"

guest=$here/server/rdma-guest
why=$("$guest" --which 2>&1) || { echo "1..0 # SKIP ${why#rdma-guest: }"; exit 0; }
"$guest" --prepare >"$tmp/log" 2>&1 || { echo "1..0 # SKIP $(tail -n 1 "$tmp/log")"; exit 0; }
"$guest" --timeout 300 sh "$here/server/rdma-check"
