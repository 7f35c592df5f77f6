#!/bin/sh
# What all tools do alike: help, version, wrong usage, exit statuses, JSON, terminals, signals,
# progress, completion; and that the manual pages know every option.
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
tools=''
for tool in kvput kvget kvsend kvrecv kvevict kvstat; do
	[ ! -x "$KVTOOLS_OUT/$tool" ] || tools="$tools $tool"
done
verbs=$(kvstat --completion bash | sed -n "s/.*compgen -W '\([a-z ]*\)'.*/\1/p")
kvget -q 'gen:tiny?tokens=2048&seed=1' >t.kv
kvput -q s t.kv
name=$(kvstat chain -o name s)

one_line() { test "$(wc -l <"$1")" -eq 1 && test -s "$1"; }
refused() { status 2 "$@" >out 2>err && test ! -s out && one_line err; }
json_lines() { /usr/bin/python3 -c 'import json, sys
n = 0
for line in sys.stdin:
    o = json.loads(line)
    assert o["schema"].startswith("kv.") and "/" in o["schema"], line
    n += 1
assert n'; }
tty() { script -qec "$1" /dev/null </dev/null; }

# big libraries come when they are needed, and are missed only then
mkdir broken
for lib in libssl.so.3 libsqlite3.so.0 libcurl.so.4; do : >"broken/$lib"; done
without() { LD_LIBRARY_PATH=$tmp/broken "$@"; }
ok 'a chunk and its name need no big library' without kvstat verify s
missed() {
	lib=$1
	shift
	without status 2 "$@" >out 2>err && one_line err && grep -q "$lib" err
}
ok 'the index needs SQLite'	missed libsqlite3.so.0 kvstat index rebuild s
ok 'S3 needs libcurl'		missed libcurl.so.4 kvstat ls s3://b/p
ok 'TLS needs OpenSSL'		missed libssl.so.3 kvstat ls rediss://127.0.0.1:1/

for tool in $tools; do
	ok "$tool --version" sh -c "$tool --version | grep -qx '$tool (kvtools) [0-9][0-9.]*'"
	ok "$tool --help tells usage and page" sh -c "$tool -h | grep -q '^usage: $tool' && $tool --help | grep -q '$tool(1)'"
	is "$tool --help fits a terminal" "$($tool --help | awk 'length > 80')" ''
	ok "$tool: unknown option" refused "$tool" --no-such-option
	ok "$tool: nothing to do it to" refused "$tool"
	ok "$tool: --help to a full disk" status 7 sh -c "$tool --help >/dev/full"
	for shell in bash zsh fish; do
		if command -v "$shell" >/dev/null; then
			ok "$tool: completion for $shell has no errors" sh -c "$tool --completion $shell >c && test -s c && $shell -n c"
		fi
	done
	ok "$tool: completion for another shell" refused "$tool" --completion tcsh
done
for verb in $verbs; do
	ok "kvstat $verb --help" sh -c "kvstat $verb --help | grep -q '^usage: kvstat $verb'"
	is "kvstat $verb --help fits a terminal" "$(kvstat "$verb" --help | awk 'length > 80')" ''
	ok "kvstat $verb: unknown option" refused kvstat "$verb" --no-such-option
done
ok 'unknown verb' refused kvstat no-such-verb
ok 'option without its argument' refused kvget s --tokens
ok 'a stream has no chains to choose from' refused kvget t.kv --chain "$name"
ok 'bad size' refused kvget s --mem 12Q
ok 'bad duration' refused kvget s --max-duration soon
ok 'bad number' refused kvget s -j many
ok 'bad word' refused kvget s --progress=sometimes
ok 'bad form' refused kvget s -o json
ok 'bad setting, though nothing asks for it' refused kvget s --timeout soon
ok 'bad setting in the environment, too' refused env KVTOOLS_BWLIMIT=fast kvstat ls s
mkdir -p xdg/kvtools
printf '[kvtools]\nretris = 3\nbwlimit = 1MB/s\n' >xdg/kvtools/config
kvget --json 'gen:tiny?tokens=1024' -O x.kv 2>err
ok 'a setting of a file counts as the option does' sh -c "grep -q '\"seconds\":0\.[3-9]\|\"seconds\":[1-9]' err"
ok 'one that is misspelt is told, and where' grep -q "config:2: 'retris' is no setting: retries?" err
rm xdg/kvtools/config
ok 'no such descriptor' refused kvget s --progress-fd 77
ok 'no such codec' refused kvget s --compress lz4
ok 'new names without tokens' refused kvget s --rename blake3
ok 'no such peer' refused kvrecv nowhere
ok 'standard input is no store' refused kvput - t.kv
ok 'a store is no stream' refused kvput new s
ok 'a tenant that is no name' refused kvput new t.kv --tenant a/b
ok 'du of a chunk' refused kvstat du s "$name"
says() { what=$1; shift; refused "$@" && grep -q -e "$what" err; }
ok 'the letter that is wrong is named' says "'-Z'" kvget -qZ s
ok 'wherever it stands' says "'-Z'" kvget -Zq s
ok 'an argument too many' says 'takes no argument' kvget --quiet=1 s
ok 'half a word that fits two' says 'ambiguous: --metrics-file, --multipart-size' kvget --m 1 s
ok 'what is near is offered: options' says '--compress?' kvget --compess none s
ok 'verbs' says 'verify?' kvstat verfy s
ok 'stores' says "'redis:' meant" kvget reds://h
ok 'and nothing where nothing is near' says 'kvurl(7)' kvget http://h
ok 'a stream is no store' says 'kvstat show' kvstat ls t.kv
ok 'the verb comes first' says 'kvstat ls --json' kvstat --json ls s
# what was named and is not there is wrong usage, and no answer
for missing in 'kvget s --names-from /none' 'kvget s -O /none/x' 'kvput new x.safetensors' \
	'kvsend 127.0.0.1:1 /none' 'kvsend 127.0.0.1:1 --psk-file /none t.kv' 'kvstat sim /none' \
	'kvstat index import s /none' 'kvevict s --max-size 1 --audit-log /none/x' 'kvput /proc/x t.kv' \
	'kvget redis://127.0.0.1:1 --password-file /none'; do
	# shellcheck disable=SC2086	# words
	ok "nothing there: $missing" refused $missing
done

if command -v bash >/dev/null; then
	completed() {
		bash -c 'eval "$($1 --completion bash)"; f=_$1; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); $f; echo "${COMPREPLY[@]}"' x "$@"
	}
	is 'completion of an option' "$(completed kvput --comp)" '--compress --completion'
	is 'completion of its values' "$(completed kvput --fsync '')" 'none data full'
	is 'completion of a verb' "$(completed kvstat ver)" 'verify'
	is 'completion of an option of a verb' "$(completed kvstat verify --sub)" '--subset'
fi

# the pages know every option of the tables
options_of() { "$@" --completion bash | sed -n "s/.*compgen -W ' \(--[^']*\)'.*/\1/p"; }
page() { mandoc -T ascii "$1" | col -b; }
# Those options that neither the tool's page nor kv(7) has.
unknown_to() {
	{ page "$here/../man/$1" && page "$here/../man/kv.7"; } >text
	shift
	for option; do
		grep -q -e "$option\([^a-z-]\|\$\)" text || echo "$option"
	done
}
if command -v mandoc >/dev/null && command -v col >/dev/null; then
	for tool in $tools; do
		[ "$tool" != kvstat ] || continue
		[ -f "$here/../man/$tool.1" ] || { skip "no page for $tool yet"; continue; }
		# shellcheck disable=SC2046	# a list of words
		is "$tool(1) and kv(7) have its options" "$(unknown_to "$tool.1" $(options_of "$tool"))" ''
	done
	for verb in $verbs; do
		# shellcheck disable=SC2046
		is "kvstat(1) and kv(7) have those of $verb" "$(unknown_to kvstat.1 $(options_of kvstat "$verb"))" ''
	done
else
	skip 'pages: mandoc or col not here'
fi

# exit statuses
cp -r s damaged
file=$(find damaged -name "$name.*")
chmod u+w "$file"
printf x | dd of="$file" bs=1 seek=9000 conv=notrunc 2>/dev/null
ok '0: done' status 0 kvget -q s -O x.kv
ok '1: absent' status 1 kvget -q s abcdef012345 -O x.kv
ok '1: differs' status 1 kvstat diff -q s mem:
ok '2: no such store' status 2 kvget -q nowhere
ok '3: time is up, some done' status 3 kvget -q 'gen:tiny?tokens=1000000' --bwlimit 1MB/s --max-duration 0.3s -O x.kv
ok '4: damaged' status 4 kvget -q damaged -O x.kv
ok '4: damaged, seen by verify' status 4 kvstat verify -q damaged
ok '4: no stream' status 4 sh -c 'echo hello | kvput -q new'
ok '5: no server there' status 5 kvput -q --retries 0 redis://127.0.0.1:1 t.kv
case $tools in
*kvsend*) ok '6: refused' status 6 kvsend -q --listen 0.0.0.0:0 t.kv ;;
esac
ok '7: disk full' status 7 sh -c 'kvget -q s >/dev/full'
ok '7: disk full, text' status 7 sh -c 'kvstat ls -q s >/dev/full'
is 'a failed -O leaves no file' "$(status 4 kvget -q damaged -O bad.kv 2>/dev/null; ls bad.kv* 2>/dev/null)" ''

# signals
is '141: nobody reads the stream' "$({ kvget -q 'gen:tiny?tokens=100000'; echo $? >rc; } | head -c 1 >/dev/null; cat rc)" 141
is '141: nobody reads the table' "$({ kvstat ls s; echo $? >rc; } | :; cat rc)" 141
{ kvget 'gen:tiny?tokens=100000' 2>err; } | head -c 1 >/dev/null
is 'no word about it' "$(grep -iE 'pipe|write' err)" ''

mkfifo pipe
kvstat ls s --names-from pipe >out 2>err & asked=$!
until grep -q '^SigIgn:.*[2367abef]..$' /proc/$asked/status; do sleep 0.01; done
kill -USR1 "$asked"
sleep 0.1
timeout 5 sh -c 'echo "$1" >pipe' x "$name"
wait "$asked"
is 'SIGUSR1 where there is no progress to tell: nothing' "$? $(wc -l <out)" '0 1'

# standard streams that are closed: nothing takes their places
ok 'no standard input' sh -c 'kvput new <&- 2>err; [ $? -eq 7 ] && grep -q "Bad file descriptor" err'
ok 'no standard output' status 7 sh -c 'kvget -q s >&-'
ok 'no standard output for a table' sh -c 'kvevict s -n --all --min-age 0 >&- 2>err; [ $? -eq 7 ] && ! grep Success err'
ok 'no standard error' sh -c 'kvget s 2>&- | cmp - t.kv'
ok 'none of them' sh -c 'rm -rf new; kvput new t.kv <&- >&- 2>&- && kvstat verify -q new && kvget s -O whole.kv <&- >&- 2>&- && cmp whole.kv t.kv'

nothing_made() {
	status 2 kvput unmade nosuch.kv && status 2 kvput unmade s && status 2 kvput unmade gen:nosuch &&
		status 2 kvput unmade gen:tiny --compress zstandard && [ ! -e unmade ]
}
ok 'a mistake makes no store'	nothing_made

# a dry run makes and moves nothing; where there is none it is refused
for how in '--fill unmade' '--export npy -O unmade' '-O unmade'; do
	# shellcheck disable=SC2086	# words
	ok "a dry run of kvget $how" kvget -q -n s $how
	ok 'makes nothing' test ! -e unmade
done
case $tools in
*kvrecv*) ok 'no dry run of kvrecv' says 'kvsend -n' kvrecv -n 127.0.0.1:1 --into unmade ;;
esac
ok 'nor of what only makes an index' says 'no dry run' kvstat index rebuild -n s

# terminals
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
	ok 'a stream to a terminal is refused' sh -c "script -qec 'kvget s; echo status \$?' /dev/null </dev/null | grep -q 'status 2'"
	ok 'before a store is asked for anything' sh -c "script -qec 'kvget redis://127.0.0.1:1/; echo status \$?' /dev/null </dev/null | grep -q 'status 2'"
	ok 'with -f it is not' sh -c "script -qec 'kvget -f s; echo status \$?' /dev/null </dev/null | grep -aq 'status 0'"
	ok 'a stream from a terminal is refused' sh -c "script -qec 'kvput new; echo status \$?' /dev/null | grep -q 'status 2'"
	ok 'tables have a head on a terminal' sh -c "script -qec 'kvstat ls s' /dev/null </dev/null | grep -q '^NAME'"
	ok 'and sizes for people' sh -c "script -qec 'kvstat ls s' /dev/null </dev/null | grep -q ' KiB'"
	is 'on a terminal and quick: no progress' "$(tty 'kvget -q s -O x.kv')" ''
	ok 'on a terminal and slow: a bar' sh -c "script -qec 'kvget \"gen:tiny?tokens=5120\" --bwlimit 4MB/s -O x.kv' /dev/null </dev/null | grep -aq 'chunks.*in.*/s'"
else
	skip 'no pseudo-terminals here'
fi
kvget -q 'gen:layers=1,heads=1,head_dim=8?tokens=18000&chunk-tokens=4' | kvput -q many
find many -name '*.safetensors' | sed 's,.*/,,; s/\..*//' | sort >names
ok 'rows made by many threads come in order' sh -c 'kvstat ls -o name many | cmp - names'
ok 'with headers, in JSON' sh -c "kvstat ls -l --json many | sed -n 's/.*\"hash\":\"\([0-9a-f]*\)\".*/\1/p' | cmp - names"
is 'and no more than wanted' "$(kvstat ls --limit 3000 -o name many | cmp - names 2>&1 | grep -c EOF)$(kvstat ls --limit 3000 many | wc -l)" 13000
is 'no head, no units in a pipe' "$(kvstat ls s | cut -f 1,4 | head -n 1 | tr -d '0-9a-f')" '	'
is 'no progress without a terminal' "$(kvget 'gen:tiny?tokens=5120' --bwlimit 4MB/s -O x.kv 2>&1 | wc -l)" 1
is '-q: not a word' "$(kvget -q s -O x.kv 2>&1; kvput -q s t.kv 2>&1)" ''
ok '--progress=plain: lines' sh -c 'kvget -q "gen:tiny?tokens=10240" --bwlimit 4MB/s --progress=plain -O x.kv 2>&1 | grep -q "^kvget: [0-9]*/*[0-9]* chunks"'
kvget -q 'gen:tiny?tokens=10240' --bwlimit 4MB/s --progress=json -O x.kv 2>progress
ok '--progress=json: lines of JSON' json_lines <progress
kvget -q 'gen:tiny?tokens=5120' --bwlimit 4MB/s --progress-fd 3 -O x.kv 3>progress 2>err
ok '--progress-fd: lines there' grep -q chunks progress
ok 'and not on stderr' test ! -s err

# JSON: every line an object with its schema
for how in 'ls' 'ls -l' 'du' 'verify --all' 'chain' 'show'; do
	# shellcheck disable=SC2086	# words
	kvstat $how --json s >json.out 2>json.err
	ok "kvstat $how --json" json_lines <json.out
done
kvput --json new t.kv >json.out 2>err
ok 'kvput --json' json_lines <json.out
kvget -q --json s -O x.kv 2>json.out
ok 'kvget --json: on stderr, stdout is for data' json_lines <json.out
kvget -q --json damaged -O x.kv 2>json.out
ok 'errors are JSON too' sh -c 'grep -q "^{.schema.:.kv.error/1" json.out'

# metrics, also of a run that fails
kvput -q --metrics-file m.prom s t.kv
ok 'metrics' grep -q '^kvtools_put_last_exit_code 0$' m.prom
good=$(grep last_success m.prom)
status 4 kvput -q --metrics-file m.prom new "$file" 2>/dev/null
ok 'metrics of a failure' grep -q '^kvtools_put_last_exit_code 4$' m.prom
is 'and of the last success' "$(grep last_success m.prom)" "$good"
status 2 kvput -q --metrics-file m.prom t.kv/no t.kv 2>/dev/null
ok 'of one that ends before it begins' grep -q '^kvtools_put_last_exit_code 2$' m.prom
is 'and so the last success' "$(grep last_success m.prom)" "$good"
status 3 kvget -q --metrics-file g.prom 'gen:llama-3.1-8b?tokens=100000' --bwlimit 50MB/s --max-duration 0.3s >/dev/null
ok 'of one that is told by time what it did' grep -q '^kvtools_get_last_exit_code 3$' g.prom
kvstat verify -q --metrics-file v.prom s
ok 'of a verification' grep -q '^kvtools_stat_verified_chunks{state="good"} [1-9]' v.prom
kvstat ls -q --metrics-file l.prom s >/dev/null
ok 'of any verb' grep -q '^kvtools_stat_last_exit_code 0$' l.prom
ok 'a verified stream as JSON' sh -c 'kvstat verify --json -q t.kv | grep -q "kv.summary/1.*\"good\":[1-9].*\"bad\":0.*\"exit\":\"ok\""'
finish
