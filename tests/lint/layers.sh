#!/bin/sh
# Which room may include which: the table is the law (DESIGN: "Rooms").
set -eu
cd "$(dirname "$0")/../.."
rooms='
base:
lib: base
digest: base lib
codec: base digest
crypt: base digest
conf: base digest lib
geom: base
device: base lib
policy: base key
trace: base digest geom policy
key: base digest
chunk: base digest codec crypt geom key
dialect: base digest geom key chunk
store: base lib digest conf
index: base lib digest conf store
transport: base lib conf device
wire: base digest key chunk transport
flow: base digest conf geom key chunk dialect store index device transport wire policy
'
bad=0
for dir in common/*/; do
	room=$(basename "$dir")
	allowed=$(printf '%s\n' "$rooms" | sed -n "s/^$room: *//p")
	printf '%s\n' "$rooms" | grep -q "^$room:" || { echo "layers: no room '$room'"; bad=1; }
	for inc in $(find "$dir" -name "*.[ch]" -exec grep -ho "^#include \"[a-z0-9]*/" {} + | sed 's/.*"//;s,/,,' | sort -u); do
		[ "$inc" = "$room" ] && continue
		case " $allowed " in
		*" $inc "*) ;;
		*) echo "layers: $room includes $inc"; bad=1 ;;
		esac
	done
done
if grep -nE '\b(printf|puts|fprintf|exit|abort|perror)[ ]*\(' common/*/*.c | grep -v 'fuzz' | grep -vE '//|\*'; then
	echo 'layers: common/ prints or exits'
	bad=1
fi
exit $bad
