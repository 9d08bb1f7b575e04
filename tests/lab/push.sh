#!/bin/bash
# Policy changes under traffic, and the death of either daemon: the last good policy stays in force.
set -euo pipefail
source "$(dirname "$0")/lab_test.sh"

before=$root/configs/demo/before.yaml
after=$root/configs/demo/after.yaml

# The two policies differ in which of two names may be reached.
in_force() {
  echo "# $1: $2"
  if [[ $1 = before ]]; then
    expect allow demo/rotating https://old.sp.test/ -4
    expect deny default_deny https://new.sp.test/ -4
  else
    expect deny default_deny https://old.sp.test/ -4
    expect allow demo/rotating https://new.sp.test/ -4
  fi
}

# reload FILE: as an operator does it, by replacing the file and a signal.
reload() {
  cp "$1" "$lab/policy/next" && mv "$lab/policy/next" "$lab/policy/demo.yaml"
  kill -HUP "$(lab_pid agent)"
}
# allows NAME: quietly, for polling.
allows() { request "https://$1/" -4; [[ $answer = "hello from $1" ]]; }

pushes_under_traffic() {
  in_force before "at start"
  slow_download_start
  check "a push is accepted" sallyport push "$after" --socket "$agent_socket"
  in_force after "pushed while a download runs"
  check "the download still ran at the push" lab_alive download
  check "the download survives the push" slow_download_wait
  cp "$after" "$lab/policy/demo.yaml"   # what a restarted agent will read
}

ids_differ() {
  jq -es '[.[] | select(.event_type == "verdict") | {flow_id, src_ip, src_port, proto}] | unique
          | group_by(.flow_id) | length > 5 and all(length == 1)' "$flow_log" >"$lab/null"
}

daemons_die() {
  lab_stop agent KILL || true
  in_force after "the agent was killed"
  lab_stop dataplane || true
  dataplane_start
  in_force after "the data plane was restarted, without an agent"
  lab_stop dataplane KILL || true
  dataplane_start
  in_force after "the data plane was killed and restarted, without an agent"
  agent_start
  in_force after "the agent is back"
  check "no flow has the id of another, of a run before either" ids_differ
}

# A reload is over when its outcome shows: the last rule of each file tells which one is in force.
reloads() {
  printf 'apiVersion: sallyport/v1\nkind: EgressPolicy\nspec: [not, a, policy\n' >"$lab/bad.yaml"
  reload "$lab/bad.yaml"
  sleep 1   # nothing must happen, so there is nothing to wait for
  check "the agent outlives a bad file" lab_alive agent
  in_force after "a bad file was refused"
  reload "$before"
  check "a good file is taken" wait_for 5 allows old.sp.test
  in_force before "reloaded"
  check "a push of a bad file is refused" bash -c "! '$build/sallyport' push '$lab/bad.yaml' --socket '$agent_socket' 2>/dev/null"
  in_force before "a bad push was refused"
}

without_any_policy() {
  lab_stop agent || true
  lab_stop dataplane || true
  rm -rf "${lab:?}/state"/*
  dataplane_start
  request https://allowed.sp.test/ -4
  verdict "$port"
  check "with no policy at all everything is denied, at once" is_denial "$answer"
  check "the log says deny" test "$action" = deny
  agent_start
  in_force before "the first policy arrived"
}

lab_begin
dataplane_start
agent_start "$before"
pushes_under_traffic
daemons_die
reloads
without_any_policy
lab_end
