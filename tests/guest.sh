# shellcheck shell=sh
# lib.sh for tests that run in the guest with software RDMA, which is $guest; skips them where none is
# to be had.
# shellcheck disable=SC2034,SC2154
cache=${KVTOOLS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kvtools}	# before lib.sh has its own HOME
. "${0%/*}/lib.sh"
export KVTOOLS_CACHE="$cache" KVTOOLS_OUT="${KVTOOLS_OUT:-$here/../out}"

guest=$here/server/rdma-guest
why=$("$guest" --which 2>&1) || { echo "1..0 # SKIP ${why#rdma-guest: }"; exit 0; }
"$guest" --prepare >"$tmp/log" 2>&1 || { echo "1..0 # SKIP $(tail -n 1 "$tmp/log")"; exit 0; }
