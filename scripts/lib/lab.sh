# The lab: a client and a server namespace, and the gateway between them in the root namespace.
# Source it after common.sh, then:
#   lab_up; gateway_start…; client curl https://allowed.sp.test/; lab_down (also on exit, by trap)
#
#   sp-client [eth0] ═ veth ═ sp-in   gateway   sp-out ═ veth ═ [eth0] sp-server
#
# The gateway is a bump in the wire: one subnet, both sides. No namespace has a route to anywhere
# else and the gateway's ends carry no address, so nothing leaves the machine.

# Fixed places, so that the next run finds what a killed one left behind. Not all in /run: it may
# be mounted noexec, and the agent's program is copied to where an unprivileged user can reach it.
lab=/var/lib/sallyport-lab
lab_run=/run/sallyport-lab
client_ip4=198.18.0.2
client_ip6=2001:db8:1::2
server_ip4=198.18.0.10
server_ip6=2001:db8:1::10
server_names=(allowed.sp.test pkg.mirror.sp.test mirror.sp.test denied.sp.test
  old.sp.test new.sp.test other.test)

client() { ip netns exec sp-client "$@"; }
server() { ip netns exec sp-server "$@"; }

# Prints why the lab cannot run on this machine; nothing when it can.
lab_missing() {
  is_root || { echo "no root"; return; }
  [[ $(nproc) -ge 2 ]] || { echo "fewer than two cores"; return; }
  unshare --net true 2>/dev/null || { echo "no network namespaces"; return; }
  # AF_XDP is protocol family 44; the kernel lists it here once it knows it.
  grep -q '^XDP ' /proc/net/protocols || echo "no AF_XDP in this kernel"
}

# --- processes: each is recorded with its start time, so that a later run never kills a stranger

process_start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086 # split into fields; the name may hold spaces, so count from behind it
  set -- ${stat##*) }
  echo "${20}"
}

# lab_spawn NAME COMMAND…: runs it in the background; output goes to $lab/log/NAME.{out,err}.
lab_spawn() {
  local name=$1; shift
  "$@" >"$lab/log/$name.out" 2>"$lab/log/$name.err" </dev/null {lab_lock}>&- &
  echo "$! $(process_start_time $!)" >"$lab/pids/$name"
}

lab_pid() {
  local pid started
  read -r pid started 2>/dev/null <"$lab/pids/$1" || return 1
  [[ $(process_start_time "$pid") = "$started" ]] && echo "$pid"
}

lab_alive() {
  local pid
  pid=$(lab_pid "$1") && [[ $(ps -o state= -p "$pid") != Z ]]
}
lab_dead() { ! lab_alive "$1"; }

# lab_stop NAME [SIGNAL]: asks it to end, then insists after five seconds; its status is the result.
lab_stop() {
  local pid
  if ! pid=$(lab_pid "$1"); then rm -f "$lab/pids/$1"; return 0; fi
  kill "-${2:-TERM}" "$pid" 2>/dev/null || true
  wait_for 5 lab_dead "$1" || kill -KILL "$pid" 2>/dev/null || true
  rm -f "$lab/pids/$1"
  wait "$pid" 2>/dev/null
}

# --- network

# Queues of each end of both wires; a test may set it before lab_begin.
lab_queues=1

# lab_wire END NAMESPACE ADDRESS…: one wire from the gateway's END to eth0 in NAMESPACE.
lab_wire() {
  local gateway_end=$1 namespace=$2 address queues=(numtxqueues "$lab_queues" numrxqueues "$lab_queues")
  shift 2
  ip netns add "$namespace"
  ip link add "$gateway_end" "${queues[@]}" type veth peer name eth0 netns "$namespace" "${queues[@]}"
  # AF_XDP forwards frames as they are: a checksum or a segment left for the NIC would stay unfinished.
  ethtool -K "$gateway_end" rx off tx off tso off gso off gro off >/dev/null
  ip netns exec "$namespace" ethtool -K eth0 rx off tx off tso off gso off gro off >/dev/null
  echo 1 >"/proc/sys/net/ipv6/conf/$gateway_end/disable_ipv6"
  ip netns exec "$namespace" sysctl -qw net.ipv6.conf.eth0.accept_ra=0 net.ipv6.conf.eth0.accept_dad=0
  for address; do ip -n "$namespace" address add "$address" dev eth0; done   # accept_dad=0: at once
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link set eth0 up
  ip link set "$gateway_end" up promisc on
}

lab_hosts() {
  local name
  mkdir -p /etc/netns/sp-client
  echo "127.0.0.1 localhost" >/etc/netns/sp-client/hosts
  for name in "${server_names[@]}"; do
    printf '%s %s\n%s %s\n' "$server_ip4" "$name" "$server_ip6" "$name"
  done >>/etc/netns/sp-client/hosts
}

# --- server: nginx with a certificate for every name

lab_certificates() {
  local san
  san=$(printf 'DNS:%s,' "${server_names[@]}")IP:$server_ip4,IP:$server_ip6
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=lab CA" \
    -keyout "$lab/ca.key" -out "$lab/ca.pem" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=lab server" \
    -keyout "$lab/server.key" -out "$lab/server.csr" 2>/dev/null
  openssl x509 -req -in "$lab/server.csr" -CA "$lab/ca.pem" -CAkey "$lab/ca.key" -days 2 \
    -extfile <(echo "subjectAltName=$san") -out "$lab/server.pem" 2>/dev/null
}

# The access log is the proof of a denial: what is not in it never reached the server.
lab_nginx_config() {
  cat <<END
daemon off; worker_processes 1; user nobody nogroup; pid $lab/nginx.pid;
error_log $lab/log/nginx-error.log info;
events { worker_connections 512; }
http {
  log_format names '\$remote_port \$ssl_server_name \$host \$request_uri \$status';
  access_log $lab/log/access.log names;
  client_body_temp_path $lab/nginx/body; proxy_temp_path $lab/nginx/proxy;
  fastcgi_temp_path $lab/nginx/fastcgi; uwsgi_temp_path $lab/nginx/uwsgi; scgi_temp_path $lab/nginx/scgi;
  server {
    listen 80 default_server; listen [::]:80 default_server;
    listen 443 ssl default_server; listen [::]:443 ssl default_server;
    listen 8443 ssl default_server;
    listen 8080 http2 default_server; listen [::]:8080 http2 default_server;
    ssl_protocols TLSv1.2 TLSv1.3;   # nginx of Debian 12 leaves 1.3 out unless told
    ssl_certificate $lab/server.pem; ssl_certificate_key $lab/server.key;
    root $lab/www;
    location = / { default_type text/plain; return 200 "hello from \$host\n"; }
    # The server's pace, not the client's: what waits in a client's buffer needs no gateway any more.
    location /slow/ { alias $lab/www/; limit_rate 2500k; sendfile_max_chunk 64k; }
    location /drip/ { alias $lab/www/; limit_rate 700k; sendfile_max_chunk 64k; }
  }
}
END
}

lab_server_start() {
  lab_certificates
  mkdir -p "$lab/nginx" "$lab/www"
  head -c 10000000 /dev/urandom >"$lab/www/10mb.bin"
  lab_nginx_config >"$lab/nginx.conf"
  lab_spawn nginx ip netns exec sp-server nginx -c "$lab/nginx.conf" -e "$lab/log/nginx-error.log"
  wait_for 10 server curl -s -o "$lab/null" "http://$server_ip4/" ||
    die 1 "lab: nginx did not start: $(tail -n 3 "$lab/log/nginx.err" "$lab/log/nginx-error.log" 2>&1)"
}

# --- up and down

# Two labs at once would tear each other down. The lock goes with this shell, however it ends.
lab_take_lock() {
  exec {lab_lock}>/run/sallyport-lab.lock
  flock --timeout 60 "$lab_lock" || die 2 "lab: another lab run holds /run/sallyport-lab.lock"
}

# The dispatcher that libxdp pinned for an interface outlives it when the gateway was killed.
lab_unpin_xdp() {
  local index pin
  index=$(cat "/sys/class/net/$1/ifindex" 2>/dev/null) || return 0
  for pin in /sys/fs/bpf/xdp/dispatch-"$index"-*; do [[ ! -e $pin ]] || rm -rf "$pin"; done
}

# lab_reserve_hugepages MORE: how many there were is written down first, for lab_clear to set again.
hugepages_setting=/proc/sys/vm/nr_hugepages
lab_reserve_hugepages() {
  [[ -e $lab/hugepages ]] || cat "$hugepages_setting" >"$lab/hugepages"
  (($1 <= 0)) || echo $(($(<"$hugepages_setting") + $1)) >"$hugepages_setting" 2>/dev/null || true
}

# Removes every trace of this or an earlier run; needs nothing of it to be there.
lab_clear() {
  local record namespace pid end
  for record in "$lab"/pids/*; do [[ ! -e $record ]] || lab_stop "${record##*/}" || true; done
  for namespace in sp-client sp-server; do
    for pid in $(ip netns pids "$namespace" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
  done
  for end in sp-in sp-out; do
    lab_unpin_xdp "$end"
    ip link delete "$end" 2>/dev/null || true
  done
  for namespace in sp-client sp-server; do
    ip netns delete "$namespace" 2>/dev/null || true
    rm -rf "/etc/netns/$namespace"
  done
  rmdir /etc/netns 2>/dev/null || true
  [[ ! -s $lab/hugepages ]] || cat "$lab/hugepages" >"$hugepages_setting" || true
  umount "$lab/small" 2>/dev/null || true   # a disk that a test has filled
  rm -rf "$lab" "$lab_run"
}

lab_up() {
  lab_take_lock
  lab_clear
  trap lab_down EXIT
  trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
  mkdir -p "$lab"/{bin,log,pids,policy,state,dpdk} "$lab_run"
  ulimit -l unlimited 2>/dev/null || true   # low: libxdp complains, and goes on
  mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
  lab_wire sp-in sp-client "$client_ip4/15" "$client_ip6/64"
  lab_wire sp-out sp-server "$server_ip4/15" 198.18.0.11/15 "$server_ip6/64" 2001:db8:1::11/64
  lab_hosts
  lab_server_start
}

lab_down() {
  local status=$?
  trap '' HUP INT TERM   # a second Ctrl-C must not leave half of it standing
  progress_end
  [[ $status = @(0|129|130|143) ]] || lab_keep_logs
  [[ -n ${lab_keep:-} ]] || lab_clear
  return "$status"
}

# What failed is looked for in these: keep the last failure's logs beside the build.
lab_keep_logs() {
  [[ -d $lab/log && -d $build ]] || return 0
  rm -rf "$build/lab-logs"
  cp -r "$lab/log" "$build/lab-logs"
  echo "logs: $build/lab-logs" >&2
}
