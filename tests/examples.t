#!/bin/sh
# The EXAMPLES of the manual pages run as they stand there: those that need no network, no other
# host and no path of some machine.
. "${0%/*}/lib.sh"

# One file a literal block in EXAMPLES: page.N.sh
blocks() {
	awk -v to="$2" '
		/^\.Sh/ { on = $2 == "EXAMPLES" }
		on && /^\.Bd -literal/ { file = sprintf("%s.%d.sh", to, ++n); next }
		/^\.Ed/ { file = "" }
		on && file { gsub(/\\e/, "\\"); print > file }' "$1"
}

cd "$tmp" || exit 1
for page in "$here"/../man/kv*.[17]; do
	blocks "$page" "$tmp/$(basename "$page")"
done
for block in "$tmp"/*.sh; do
	[ -f "$block" ] || continue
	if grep -qE '://|@[a-z]|(^|[ =])/|shm:|:[0-9]|p\.json|systemctl|prompt\.kv$|^\$' "$block"; then continue; fi
	grep -qE '^kv|\| *kv' "$block" || continue
	mkdir run
	cp "$golden"/a.safetensors "$golden"/b.safetensors "$golden"/*.json run/
	# what an example may lean on: the store that others make
	kvput -q run/store run/a.safetensors --tokens run/a.tokens.json --geometry run/config.json
	ok "$(basename "$block" .sh): $(head -n 1 "$block")" sh -c 'cd run && sh -e "$1" >/dev/null' x "$block"
	rm -rf run
done
[ "$tap_n" -gt 3 ] || ok 'there are examples' false
finish
