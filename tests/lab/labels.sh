#!/bin/bash
# Rules about who asks: labels and SPIFFE IDs of an identity feed that changes under live flows. The client's
# IPv4 and IPv6 addresses are two workloads.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

feed=$lab/identities.yaml
llm=spiffe://lab.sp.test/ns/train/sa/llm
bench=spiffe://lab.sp.test/ns/eval/sa/bench

labels_policy() {
  cat <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: trainers}
spec:
  subject: {labels: {job: train, team: llm}}   # both of them
  egress: [{name: hub, action: Allow, to: {domainNames: [allowed.sp.test]}}]
---
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: bench}
spec:
  subject: {labels: {spiffeId: "$bench"}}
  egress: [{name: results, action: Allow, to: {domainNames: [new.sp.test]}}]
---
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: everyone}
spec:
  egress: [{name: packages, action: Allow, to: {domainNames: [old.sp.test${1:+, $1}]}}]
END
}

# Each is the rest of an entry of a feed.
trainer="spiffeId: $llm, labels: {job: train, team: llm}"
other_team="spiffeId: $llm, labels: {job: train, team: vision}"
evaluator="spiffeId: $bench, labels: {job: eval, team: llm}"
# write_feed IPV4 IPV6: as docs/operations.md says, by renaming.
write_feed() {
  cat >"$feed.next" <<END
apiVersion: sallyport/v1
kind: IdentityFeed
identities:
  - {addresses: [$client_ip4], $1}
  - {addresses: ["$client_ip6"], $2}
END
  mv "$feed.next" "$feed"
}
feed_status() { sallyport status --stats "$stats" --socket "$agent_socket" --format json | jq -c ".agent.identities | $1"; }
# On every core, and not as before.
feed_in_force() { [[ $(feed_status .revision) != "$feed_before" && $(feed_status .since) != null ]]; }
# gives WHAT IPV4 IPV6: writes the feed, and waits until it counts.
gives() {
  feed_before=$(feed_status .revision)
  write_feed "${@:2}"
  check "$1: a new feed is in force" wait_for 5 feed_in_force
}
# names WHAT SPIFFE_ID: of the last request's record; "none" where there is none.
names() { check "$1: the record says $2" test "$(record verdict "$port" | jq -r '.spiffe_id // "none"')" = "$2"; }

without_feed() {
  expect deny facts_not_inspected https://allowed.sp.test/ -4
  names "no feed" none
  expect allow everyone/packages https://old.sp.test/ -4
}

by_feed() {
  echo "# $1"
  expect allow trainers/hub https://allowed.sp.test/ -4
  names "the trainer" "$llm"
  expect allow trainers/hub http://allowed.sp.test/ -4
  expect deny default_deny https://new.sp.test/ -4
  expect deny default_deny https://allowed.sp.test/ -6
  names "the evaluator, denied" "$bench"
  expect allow bench/results https://new.sp.test/ -6
  names "the evaluator" "$bench"
}

was_denied() { [[ $(record verdict "$1" | jq -r .verdict.action) = deny ]]; }
live_flows() {
  download_options=(-4)
  slow_download_start
  keep_alive_start old.sp.test
  gives "another team" "$other_team" "$evaluator"
  check "the trainer's download ends" wait_for 2 lab_dead download
  check "with a reset" grep -q 'reset by peer' "$lab/log/download.err"
  check "its record says deny" wait_for 2 was_denied "$slow_port"
  check "a connection that needs no label goes on" keep_alive_again
  lab_stop kept || true
  check "nothing is left at the server" wait_for 2 none_left server_side
  expect deny default_deny https://allowed.sp.test/ -4
  names "the former trainer" "$llm"

  gives "back in the team" "$trainer" "$evaluator"
  by_feed "back in the team"
  keep_alive_start allowed.sp.test
  check "a kept connection is answered" keep_alive_again
  gives "no identity" "labels: {job: train}" "$evaluator"
  check "and is not after the change" eval '! keep_alive_again'
  check "but reset" kept_was_reset
  check "nothing is left at the server" wait_for 2 none_left server_side
  expect deny default_deny https://allowed.sp.test/ -4
  names "nobody" none
}

feed_was_refused() { [[ $(feed_status .last_load.result) = '"invalid"' ]]; }
what_stays() {
  gives "at the end" "$trainer" "$evaluator"
  write_feed "spiffeId: nonsense" "$evaluator"
  check "a bad feed is refused" wait_for 5 feed_was_refused
  by_feed "after a bad feed"
  rm "$feed"
  labels_policy mirror.sp.test >"$lab/other.yaml"
  check "another policy is accepted" sallyport push "$lab/other.yaml" --socket "$agent_socket"
  by_feed "under another policy, without the file"
  lab_stop agent KILL || true
  lab_stop dataplane || true
  dataplane_start
  by_feed "after a restart of the data plane, without an agent"
}

lab_begin
dataplane_start
labels_policy >"$lab/labels.yaml"
agent_options=(--identities "$feed")   # not there yet
agent_start "$lab/labels.yaml"
without_feed
gives "the first one" "$trainer" "$evaluator"
by_feed "the first feed"
live_flows
what_stays
lab_end
