#!/bin/bash
# A throwaway one-node Ceph S3 gateway on loopback: monitor, one OSD, gateway; no root.
#   radosgw.sh start DIR   starts it in DIR (absent or empty), prints its environment:
#                          AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY ...
#   radosgw.sh stop DIR    ends the processes, removes DIR
# RGW_STORE=bluestore (memstore), RGW_TLS=1: https, with AWS_CA_BUNDLE in the environment printed.
# RGW_CLASS=NAME: a storage class besides STANDARD. RGW_SHARDS=N (1): of a bucket's index.
# RGW_DELAY=S: what the gateway asks of the OSD waits up to S seconds. .01: a write takes 7.6 ms, not 0.3.
# One lifecycle day is 2 seconds. Needs ceph-mon ceph-osd radosgw and python3-rados.
# shellcheck disable=SC2015	# "a && b || die" is meant as it reads
set -u
umask 077
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

die() { echo "radosgw.sh: $*" >&2; exit 1; }

verb=${1:-} dir=${2:-}
[ -n "$dir" ] || die "usage: $0 start|stop DIR"

# Is that process one we started? Its command line names our configuration.
ours() { tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qxF -- "$dir/ceph.conf"; }

stop_all() {
	local f pid
	for f in "$dir"/run/*.pid; do
		[ -s "$f" ] || continue
		pid=$(cat "$f")
		ours "$pid" && kill -KILL "$pid" 2>/dev/null	# nothing is to be kept
		while ours "$pid"; do sleep 0.02; done
	done
}

if [ "$verb" = stop ]; then
	[ -e "$dir/ceph.conf" ] || exit 0
	dir=$(cd "$dir" && pwd)
	stop_all
	rm -rf -- "$dir"
	exit 0
fi
[ "$verb" = start ] || die "usage: $0 start|stop DIR"
for p in ceph-mon ceph-osd radosgw radosgw-admin monmaptool curl; do
	command -v $p >/dev/null || die "$p not here"
done
/usr/bin/python3 -c 'import rados' 2>/dev/null || die 'python3-rados not here'
mkdir -p "$dir" && dir=$(cd "$dir" && pwd) && [ -z "$(ls -A "$dir")" ] || die "$dir: not empty"
[ ${#dir} -le 80 ] || die "$dir: too long for a Unix socket's path"
mkdir "$dir"/{mon,osd,rgw,run,log}

fail() {
	echo "radosgw.sh: $*" >&2
	tail -n 5 "$dir"/log/*.log >&2 2>/dev/null
	stop_all
	rm -rf -- "$dir"
	exit 1
}
trap 'fail interrupted' INT TERM

# Twelve ports in a row of which the first three are free now. A second cluster on
# a live monitor's port would register its OSD in the first one.
busy() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
while :; do
	port=$((20000 + RANDOM % 10000))
	busy $port || busy $((port + 1)) || busy $((port + 2)) || break
done

fsid=$(cat /proc/sys/kernel/random/uuid)
osd=$(cat /proc/sys/kernel/random/uuid)
key=TESTACCESSKEY0000001
secret=testsecretkey/0000000000000000000000001
url=http://127.0.0.1:$port
front="beast endpoint=127.0.0.1:$port"
if [ "${RGW_TLS:-0}" = 1 ]; then
	url=https://127.0.0.1:$port
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
		-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
		-keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null || fail openssl
	front="beast ssl_endpoint=127.0.0.1:$port ssl_certificate=$dir/cert.pem"
	front="$front ssl_private_key=$dir/key.pem"
fi
# Why: without tcp_nodelay small answers wait 40 ms for a delayed acknowledgement; without the
# two paxos options each new pool waits up to a second; radosgw alone insists on
# "secure" towards the monitor, which authentication "none" does not offer, hence crc.
# Ceph 18 in Debian looks for its OSD's classes below the working directory.
classes=$(find /usr/lib /usr/lib64 -maxdepth 2 -name rados-classes 2>/dev/null | head -n 1)
cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $fsid
mon_host = [v2:127.0.0.1:$((port + 1))/0]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_cluster_mode = crc
ms_mon_service_mode = crc
ms_crc_data = false
ms_bind_msgr1 = false
ms_bind_ipv6 = false
ms_bind_port_min = $((port + 2))
ms_bind_port_max = $((port + 11))
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = /dev/null
run_dir = $dir/run
crash_dir = $dir/run
admin_socket = $dir/run/\$type.asok
heartbeat_file =
log_file = $dir/log/\$type.log
log_to_stderr = false
mon_cluster_log_file = $dir/log/cluster.log
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 4000
[mon]
mon_data = $dir/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 1
mon_initial_members = a
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
mon_tick_interval = 1
[osd]
osd_data = $dir/osd
osd_objectstore = ${RGW_STORE:-memstore}
memstore_device_bytes = 8589934592
bluestore_block_create = true
bluestore_block_size = 8589934592
bluestore_csum_type = none
bluestore_fsck_on_mkfs = false
osd_memory_target = 1073741824
osd_class_load_list = *
${classes:+osd_class_dir = $classes}
osd_class_default_list = *
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
osd_numa_auto_affinity = false
${RGW_DELAY:+ms_inject_delay_type = client
ms_inject_delay_probability = 1
ms_inject_delay_max = $RGW_DELAY}
[client]
rgw_frontends = $front tcp_nodelay=1
rgw_data = $dir/rgw
rgw_dns_name = localhost
rgw_enable_apis = s3, admin
rgw_run_sync_thread = false
rgw_enable_quota_threads = false
rgw_dynamic_resharding = false
rgw_thread_pool_size = 32
rgw_override_bucket_index_max_shards = ${RGW_SHARDS:-1}
rgw_gc_max_objs = 2
rgw_gc_obj_min_wait = 1
rgw_gc_processor_period = 5
rgw_lc_max_objs = 1
rgw_lc_debug_interval = 2
rgw_md_log_max_shards = 1
rgw_data_log_num_shards = 1
rgw_objexp_hints_num_shards = 1
CONF

launch() {	# NAME PROGRAM ARGUMENTS: in its own session, its pid in run/
	local n=$1
	shift
	setsid "$@" </dev/null >>"$dir/log/$n.out.log" 2>&1 &
	echo $! >"$dir/run/$n.pid"
}

c=$dir/ceph.conf
monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$((port + 1))]" \
	"$dir/run/monmap" >"$dir/log/mkfs.log" 2>&1 || fail monmaptool
ceph-osd -c "$c" -i 0 --mkfs --osd-uuid "$osd" --monmap "$dir/run/monmap" \
	>"$dir/log/osd-mkfs.log" 2>&1 &
mkfs=$!
ceph-mon -c "$c" -i a --mkfs --monmap "$dir/run/monmap" --keyring /dev/null \
	>>"$dir/log/mkfs.log" 2>&1 || fail 'ceph-mon --mkfs'
launch mon ceph-mon -c "$c" -i a -f
wait $mkfs || fail 'ceph-osd --mkfs'
# One process registers the OSD and waits for it: the ceph program takes half a second a
# call, and a client that comes before the OSD is up waits out a tick of five.
exec {reg}< <(timeout 60 /usr/bin/python3 - "$c" "$osd" 2>"$dir/log/register.log" <<'PY'
import json, sys, time, rados
r = rados.Rados(conffile=sys.argv[1], rados_id='admin')
r.connect(timeout=25)
def mon(**command):
    status, out, why = r.mon_command(json.dumps(command), b'')
    if status:
        raise SystemExit(why)
    return out
mon(prefix='osd new', uuid=sys.argv[2])
print('registered', flush=True)
while json.loads(mon(prefix='osd stat', format='json'))['num_up_osds'] < 1:
    time.sleep(0.02)
print('up', flush=True)
PY
)
read -r word <&"$reg" && [ "$word" = registered ] || fail 'registering the OSD'
launch osd ceph-osd -c "$c" -i 0 -f
read -r word <&"$reg" && [ "$word" = up ] || fail 'the OSD did not come up'
exec {reg}<&-
timeout 60 radosgw-admin -c "$c" -n client.admin user create --uid=test --display-name=test \
	--access-key="$key" --secret-key="$secret" >"$dir/log/user.log" 2>&1 || fail 'user create'
place() {	# zonegroup|zone ARGUMENTS
	timeout 60 radosgw-admin -c "$c" -n client.admin "$1" placement add --rgw-"$1"=default \
		--placement-id=default-placement --storage-class="$RGW_CLASS" "${@:2}" \
		>>"$dir/log/class.log" 2>&1 || fail "storage class $RGW_CLASS"
}
if [ -n "${RGW_CLASS:-}" ]; then
	place zonegroup
	place zone --data-pool=default.rgw.cold
fi
launch rgw radosgw -c "$c" -n client.admin -f
for ((i = 0; ; i++)); do
	[ "$(curl -ks -o /dev/null -m 5 -w '%{http_code}' "$url/")" = 200 ] && break
	{ [ $i -lt 1000 ] && ours "$(cat "$dir/run/rgw.pid")"; } || fail 'the gateway did not come up'
	sleep 0.03
done
echo "export AWS_ENDPOINT_URL=$url AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret"
echo "export AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true"
[ "${RGW_TLS:-0}" = 0 ] || echo "export AWS_CA_BUNDLE=$dir/cert.pem"
