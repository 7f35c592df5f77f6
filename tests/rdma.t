#!/bin/sh
# RDMA with real queue pairs, in a guest that has software devices (tests/server/rdma-guest).
guest_cache=${KVTOOLS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kvtools}
. "${0%/*}/lib.sh"
export KVTOOLS_CACHE="$guest_cache"
guest=$here/server/rdma-guest
why=$("$guest" --which 2>&1) || { echo "1..0 # SKIP ${why#rdma-guest: }"; exit 0; }
"$guest" --prepare >/dev/null 2>&1 || { echo '1..0 # SKIP the kernel cannot be fetched'; exit 0; }
unit=${KVTOOLS_OUT:?}/unit/verbs

ok "verbs over two rxe devices ($why)" "$guest" --timeout 120 "$unit"
if "$guest" --way uml --which >/dev/null 2>&1; then
	ok 'verbs over two siw devices' "$guest" --way uml --drv siw --timeout 120 "$unit"
else
	skip 'siw: only in the guest that make rdma-kernel builds'
fi
finish
