#!/bin/sh
# make install into a directory, what it put there, and make uninstall.
. "${0%/*}/lib.sh"
need make

cd "$here/.." || exit 1
# The programs are built already: nothing but copying happens here, with the same settings.
quietly() { MAKEFLAGS='' make -s O="$KVTOOLS_OUT" DESTDIR="$tmp/dest dir" PREFIX=/usr "$@"; }
dest="$tmp/dest dir"
all_of() { (cd "$dest" && find . "$@" | sort); }

ok 'make install' quietly install
for tool in "$KVTOOLS_OUT"/kv*; do
	[ -f "$tool" ] || continue
	tool=${tool##*/}
	ok "$tool runs" sh -c "'$dest/usr/bin/$tool' --version | grep -q '^$tool '"
	[ ! -f "man/$tool.1" ] || ok "$tool has its page" test -f "$dest/usr/share/man/man1/$tool.1"
	ok "$tool: completion of bash" grep -q "complete .*$tool" "$dest/usr/share/bash-completion/completions/$tool"
	ok "$tool: completion of zsh" grep -q "^#compdef $tool" "$dest/usr/share/zsh/site-functions/_$tool"
	ok "$tool: completion of fish" grep -q "^complete -c $tool" "$dest/usr/share/fish/vendor_completions.d/$tool.fish"
done
for page in kv.7 kvurl.7 kvchunk.5 kvoutput.5 kvstream.5 kvtools.conf.5; do
	ok "$page" test -f "$dest/usr/share/man/man${page##*.}/$page"
done
ok 'a unit of systemd' test -f "$dest/usr/lib/systemd/system/kvevict@.timer"
ok 'an example' test -f "$dest/usr/share/doc/kvtools/examples/cron/kvevict"
ok 'licence' cmp -s LICENSE "$dest/usr/share/doc/kvtools/LICENSE"
is 'nothing outside of PREFIX' "$(all_of -type f ! -path './usr/*')" ''
is 'files that others may read' "$(all_of -type f ! -perm -444)" ''
before=$(all_of -type f)
ok 'again' quietly install
is 'the same files' "$(all_of -type f)" "$before"
ok 'make uninstall' quietly uninstall
is 'leaves no file' "$(all_of -type f)" ''
ok 'again, with nothing there' quietly uninstall
finish
