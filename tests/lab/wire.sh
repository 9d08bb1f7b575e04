# What the client's own wire saw of a denial, and when; source it behind clients.sh. The clock of a
# program counts its start, too, which is not the gateway's to answer for.

client_wire=$lab/client.pcap
wire_start() { capture_start client sp-client 'tcp or udp or icmp or icmp6'; }
# What is asked of the wire from now on is about later frames only.
wire_mark() { wire_since=$EPOCHREALTIME; }
wire_lines() {
  { tcpdump -nn -tt -r "$client_wire" 2>/dev/null || true; } | awk -v since="$wire_since" '$1 >= since'
}

# What is a request, in tcpdump's words, and what is an answer: a word, a reset, an ICMP error.
says_something='length [1-9]'
opens='Flags \[S\]'
is_datagram='UDP|quic|A\?'
is_answer='Flags \[R|length [1-9]|unreachable'

# wire_answers REQUEST: for each of the client's flows the milliseconds from its first request to its
# first answer, or "never". An ICMP error answers all datagrams before it.
wire_answers() {
  wire_lines | awk -v request="$1" -v answer="$is_answer" -v ip4="$client_ip4" -v ip6="$client_ip6" '
    function settle(flow) { took[flow] = ($1 - asked[flow]) * 1000 }
    { from = $3; to = $5; sub(/:$/, "", to) }
    index(from, ip4 ".") == 1 || index(from, ip6 ".") == 1 {
      if ($0 ~ request && !(from in asked)) asked[from] = $1
      next
    }
    /unreachable/ { for (flow in asked) if (!(flow in took)) settle(flow); next }
    $0 ~ answer && (to in asked) && !(to in took) { settle(to) }
    END { for (flow in asked) if (flow in took) printf "%.2f\n", took[flow]; else print "never" }'
}
all_answered() { worst=$(wire_answers "$1" | sort -g | tail -n 1); [[ -n $worst ]] && ! wire_answers "$1" | grep -q never; }

# at_once WHAT REQUEST COMMAND…: the command's requests are answered within 50 ms each. A machine that
# stood still may be tried three times.
was_at_once() { [[ $worst != never ]] && awk -v ms="$worst" 'BEGIN { exit ms >= 50 }'; }
at_once() {
  local what=$1 request=$2 worst try fault=; shift 2
  for try in 1 2 3; do
    wire_mark
    "$@"
    wait_for 2 all_answered "$request" || worst=never
    if [[ $worst = never ]] || was_at_once; then break; fi
  done
  was_at_once || fault="not under 50 ms, try $try"
  report "$what: the answer came $worst ms behind the request" "$fault"
}
