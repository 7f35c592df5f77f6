#!/bin/sh
# Smoke alarms: main 300 lines, file 500, function 70, line 100 columns (tab 8).
set -eu
cd "$(dirname "$0")/../.."
bad=0
for f in $(git ls-files 'cmd/*.[ch]' 'cmd/**/*.[ch]' 'common/**/*.[ch]' | sort -u); do
	n=$(wc -l <"$f")
	[ "$n" -le 500 ] || { echo "size: $f has $n lines"; bad=1; }
	awk -v f="$f" '/^\{/{s=FNR} /^\}/{if (s && FNR-s>70) {printf "size: %s:%d function of %d lines\n",f,s,FNR-s; x=1} s=0} END{exit x}' "$f" || bad=1
	expand "$f" | awk -v f="$f" 'length($0)>100 {printf "size: %s:%d is %d columns\n",f,FNR,length($0); x=1} END{exit x}' || bad=1
done
exit $bad
