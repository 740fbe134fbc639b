# Sourced by run: servers that are started, waited for and ended.

ready_seconds=30
stop_seconds=10
pids=()

say() { printf '\n== %s\n' "$*"; }
die() { printf 'interop: %s\n' "$*" >&2; exit 1; }

# stop ends the servers by their process ids, at first kindly.
stop() {
  local deadline=$((SECONDS + stop_seconds)) pid
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.05; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  pids=()
}

cleanup() {
  local status=$?
  trap - EXIT INT TERM
  stop
  if ((status != 0)) && [[ -s $work/broker.log ]]; then
    printf '\nthe end of the broker'\''s log:\n'
    tail -n 20 "$work/broker.log"
  fi
  exit "$status"
}

# finish COMMAND… runs it to its end. It is waited for in the background, so that a signal to this script is heard meanwhile.
finish() {
  local code=0
  "$@" &
  pids+=($!)
  wait $! || code=$?
  unset 'pids[-1]'
  return "$code"
}

# start NAME COMMAND… runs a server in the background, its output in work/NAME.log; its process id is then $!.
start() {
  local log=$work/$1.log
  shift
  "$@" >>"$log" 2>&1 &
  pids+=($!)
}

# forget PID, which was waited for already.
forget() {
  local pid others=()
  for pid in "${pids[@]}"; do [[ $pid == "$1" ]] || others+=("$pid"); done
  pids=("${others[@]}")
}

# answers NAME PID URL waits until the URL answers 200, at most ready_seconds, and no longer than the process lives.
answers() {
  local deadline=$((SECONDS + ready_seconds))
  until curl -fs -o "$work/answer" --max-time 5 "$3"; do
    kill -0 "$2" 2>/dev/null || { tail -n 20 "$work/$1.log"; die "$1 ended before it was ready"; }
    ((SECONDS < deadline)) || { tail -n 20 "$work/$1.log"; die "$1 is not ready after $ready_seconds s"; }
    sleep 0.05
  done
  echo "$1 is ready"
}
