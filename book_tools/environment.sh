#!/usr/bin/env bash
# Create the environment from requirements.lock; called by make when the lock is newer than it.
set -u
python=${PYTHON:-python3.11}
venv=${VENV:-.venv}
bin=${BIN:-$venv/bin}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fail() {
  printf 'make: %s\n' "$*" >&2
  exit 1
}

explain() { # what to do about the failure recorded in the log, in one line
  if grep -qiE 'no space left|errno 28|disk quota' "$log"; then
    fail "the disk is full: the environment needs about 7 GB (here: $(df -h . | awk 'NR==2 {print $4}') free). Free some space and call make again."
  elif grep -qiE 'do not match the hashes' "$log"; then
    fail "a downloaded package is not the one that requirements.lock names: $(grep -m1 -iE '^ *[a-z0-9_.-]+==|from https?://|THESE PACKAGES' "$log"). Try again; if it persists, do not install it."
  elif grep -qiE 'connection|network|timed out|name or service|could not find a version|no matching distribution' "$log"; then
    fail "a package could not be fetched (is there a network, and is Python $("$python" -V 2>&1 | cut -d' ' -f2) on this platform?): $(grep -m1 -iE 'ERROR|could not' "$log")"
  fi
  fail "$1: $(grep -m1 -E 'ERROR|Error' "$log" || tail -n 1 "$log")"
}

command -v "$python" >/dev/null 2>&1 || fail "no Python found: install Python 3.11, or name it: make PYTHON=/path/to/python3.11 ..."
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || fail "$python does not run: name another: make PYTHON=/path/to/python3.11 ..."
[ "$found" = 3.11 ] || fail "Python 3.11 is needed, $python is $found: install it, or name it: make PYTHON=/path/to/python3.11 ..."
"$python" -c 'import venv, ensurepip' 2>/dev/null || fail "this Python has no venv module: on Debian and Ubuntu install python3.11-venv."

free_mb=$(df -Pm . | awk 'NR==2 {print $4}')
if [ ! -x "$bin/python" ] && [ "${free_mb:-0}" -lt 8000 ]; then
  fail "the environment needs about 8 GB while it is made, and only ${free_mb} MB are free here: free some space and call make again."
fi

rm -f "$venv/.installed"
echo "environment: Python $found, packages from requirements.lock (some minutes the first time)"
"$python" -m venv "$venv" >"$log" 2>&1 || explain "the environment could not be made"
start=$SECONDS
"$bin/python" -m pip install --disable-pip-version-check --no-deps --require-hashes \
  --progress-bar off -r requirements.lock >"$log" 2>&1 &
pip=$!
while kill -0 "$pip" 2>/dev/null; do
  sleep 1
  kill -0 "$pip" 2>/dev/null && [ $(((SECONDS - start) % 30)) -eq 29 ] &&
    echo "environment: $((SECONDS - start)) s, $(du -sm "$venv" 2>/dev/null | cut -f1) MB of about 6500 MB installed"
done
wait "$pip" || explain "the packages could not be installed"
"$bin/python" -m pip install --disable-pip-version-check --no-deps --no-build-isolation \
  --no-index --quiet -e . >"$log" 2>&1 || explain "the project could not be installed"
touch "$venv/.installed"
echo "environment: ready after $((SECONDS - start)) s"
