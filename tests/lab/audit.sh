#!/bin/bash
# A document in audit mode: what it denies passes, and the log says which rule would have denied it; enforced, the
# same rule denies.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

# trial_policy MODE
trial_policy() {
  cat <<END
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: hub}
spec:
  egress: [{name: allowed, action: Allow, to: {domainNames: [allowed.sp.test]}}]
---
apiVersion: sallyport/v1
kind: EgressPolicy
metadata: {name: trial}
spec:
  mode: $1
  egress: [{name: blocked, action: Deny, to: {domainNames: [denied.sp.test]}}]
END
}

# says WOULD_DENY MODE: of the last request's verdict.
says() {
  local line
  line=$(record verdict "$port" | jq -r '.policy | "\(.would_deny) \(.mode)"')
  check "the log says would_deny $1, mode $2" test "$line" = "$1 $2"
}

lab_begin
trial_policy audit >"$lab/audit.yaml"
dataplane_start
agent_start "$lab/audit.yaml"
for scheme in https http; do
  expect allow trial/blocked "$scheme://denied.sp.test/" -4
  says true audit
done
expect allow hub/allowed https://allowed.sp.test/ -4
says false enforce
expect deny default_deny https://other.test/ -4

echo "# enforced, under a live connection"
keep_alive_start denied.sp.test
trial_policy enforce >"$lab/enforce.yaml"
check "the same document is pushed" sallyport push "$lab/enforce.yaml" --socket "$agent_socket"
check "the connection gets no other page" eval '! keep_alive_again'
check "but a reset" kept_was_reset
expect deny trial/blocked https://denied.sp.test/ -4
check_books
lab_end
