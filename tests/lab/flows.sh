#!/bin/bash
# `sallyport flows` on a real gateway's log: denials are shown as they happen, and each is explained from what its
# client was told, by the policy that decided it, after another is in force. And `sallyport drops` beside it.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

log_options=(--log "$flow_log")

policy() {
  cat <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: names}
spec:
  egress:
    - {name: never, action: Deny, to: {domainNames: [denied.sp.test]}}
    - {name: hub, action: Allow, to: {domainNames: [allowed.sp.test]}, protocols: [{http: {methods: [GET]}}, {tls: {}}]}
END
}
other_policy() { policy | sed 's/never/never-more/'; }

watch_start() {
  lab_spawn watch "$build/sallyport" flows "${log_options[@]}" --denied --follow --format text
}
shown() { grep -qE "$1" "$lab/log/watch.out"; }
explain() { sallyport flows "${log_options[@]}" --state-dir "$lab/state" --format text --explain "$@" >"$lab/explained" 2>&1; }
explained() { grep -qF -- "$1" "$lab/explained"; }
id_of() { record verdict "$1" | jq -r .flow_id; }

revision_in_force() { sallyport status --stats "$stats" --socket "$agent_socket" --format json | jq -r .agent.revision; }
in_force_is_other_than() { [[ $(revision_in_force) != "$1" ]]; }

# told WHAT RULE LACKS: the explanation at hand.
told() {
  check "$1: the deciding rule" explained "$2"
  check "$1: what would have allowed it" explained "$3"
  check "$1: it agrees with the log" test -z "$(grep 'not what the log says' "$lab/explained")"
}

over_http() {
  local id revision
  expect deny names/never http://denied.sp.test/ -4
  id=$(sed -n 's/^flow: //p' "$lab/body")
  revision=$(sed -n 's/^revision: //p' "$lab/body")
  check "over HTTP: the 403 has the flow's id" test -n "$id"
  check "over HTTP: shown live" wait_for 5 shown "deny +$client_ip4 +denied.sp.test:80/http +names/never"
  check "over HTTP: explained by the id in the 403" explain --id "$id"
  told "over HTTP" "denied by names/never ($lab/policy/demo.yaml:6)" "names/hub *"
  check "over HTTP: by the revision in the 403" explained "By the policy of revision $revision:"
}

over_tls() {
  expect deny default_deny https://other.test/ -4
  check "over TLS: shown live" wait_for 5 shown "deny +$client_ip4 +other.test:443/tls +default_deny"
  check "over TLS: explained by the id in the log" explain --id "$(id_of "$port")"
  told "over TLS" "denied: no rule matches (default_deny)" "to.domainNames  allowed.sp.test"
  expect deny default_deny http://allowed.sp.test/ -4 --data x
  check "a method: explained by the last denial" explain --denied --host allowed.sp.test
  told "a method" "denied: no rule matches (default_deny)" "http.methods  GET"
}

after_a_push() {
  local id
  id=$(sallyport flows "${log_options[@]}" --rule names/never --event verdict --last 1 | jq .flow_id)
  other_policy >"$lab/policy/demo.yaml"
  kill -HUP "$(lab_pid agent)"
  check "another policy is in force" wait_for 10 in_force_is_other_than "$first_revision"
  expect deny names/never-more http://denied.sp.test/ -4
  check "explained by the policy of then" explain --id "$id"
  told "by the policy of then" "denied by names/never ($lab/policy/demo.yaml:6)" "names/hub *"
  rm -rf "$lab/state/policies"
  check "a policy that is gone ends with 2" test "$(explain --id "$id"; echo $?)" = 2
  check "and is said" explained "--policy FILE"
  policy >"$lab/then.yaml"
  check "with --policy it is explained" explain --id "$id" --policy "$lab/then.yaml"
  check "and no revision is complained of" test -z "$(grep 'note: this policy' "$lab/explained")"
}

through_rotation() {
  mv "$flow_log" "$flow_log.1"
  kill -HUP "$(lab_pid dataplane)"
  check "SIGHUP makes a new file" wait_for 2 test -e "$flow_log"
  expect deny default_deny https://old.sp.test/ -4
  check "shown live after rotation" wait_for 5 shown "old.sp.test:443/tls"
  check "what was before is history" test "$(sallyport flows "${log_options[@]}" --host other.test --event verdict | wc -l)" = 1
}

# The drops of a live gateway, and of the one after it.
drops_of_each_second() {
  lab_spawn drops "$build/sallyport" drops --stats "$stats" --follow --format text
  check "drops: totals, with what they mean" wait_for 5 grep -q 'Packets of flows the policy denies' "$lab/log/drops.out"
  sleep 1.5   # its first second begins
  # Each is one held request and a few packets behind its denial.
  for _ in 1 2 3; do request https://denied.sp.test/ -4; done
  check "drops: by the second" wait_for 5 grep -qE '^[0-9:]{8} (denied|held_after_denial) +[0-9]+ +[0-9]+$' "$lab/log/drops.out"
  lab_stop dataplane
  check "drops: a stop is said" wait_for 5 grep -q 'the data plane has stopped' "$lab/log/drops.out"
  dataplane_start
  check "drops: another data plane is said" wait_for 5 \
    grep -q "restarted, pid $(lab_pid dataplane)" "$lab/log/drops.out"
}

lab_begin
dataplane_start
policy >"$lab/names.yaml"
agent_start "$lab/names.yaml"
first_revision=$(revision_in_force)
watch_start
over_http
over_tls
after_a_push
through_rotation
drops_of_each_second
lab_end
