#!/usr/bin/env bash
# Create the environment from requirements.lock; called by make when the lock is newer than it.
# PYTHON names the Python to take; otherwise the first that fits. TORCH=keep takes its torch too.
set -u
python=${PYTHON:-}
torch=${TORCH:-}
venv=${VENV:-.venv}
bin=${BIN:-$venv/bin}
needed=8000 # MB
pip=
log=$(mktemp)
trap 'rm -f "$log" "$log.lock"' EXIT
trap '[ -z "$pip" ] || kill "$pip"; fail "interrupted; call make again in the same way, it continues from here."' INT TERM

fail() {
  printf 'make: %s\n' "$*" >&2
  exit 1
}

explain() { # what to do about the failure recorded in the log, in one line
  if grep -qiE 'no space left|errno 28|disk quota' "$log"; then
    fail "the disk is full: the environment needs about $needed MB (here: $(df -h . | awk 'NR==2 {print $4}') free). Free some space and call make again."
  elif grep -qiE 'do not match the hashes' "$log"; then
    fail "a downloaded package is not the one that requirements.lock names: $(grep -m1 -iE '^ *[a-z0-9_.-]+==|from https?://|THESE PACKAGES' "$log"). Try again; if it persists, do not install it."
  elif grep -qiE 'connection|network|timed out|name or service|could not find a version|no matching distribution' "$log"; then
    fail "a package could not be fetched (is there a network, and is Python $found on this platform?): $(grep -m1 -iE 'ERROR|could not' "$log")"
  fi
  fail "$1: $(grep -m1 -E 'ERROR|Error' "$log" || tail -n 1 "$log")"
}

version() { # 3.11 for a Python 3.11.7, nothing for what does not run
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

read -r lowest beyond < <(sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"$/\1 \2/p' pyproject.toml)
range="Python 3.$lowest to 3.$((beyond - 1))"
fits() { case $1 in 3.*) [ "${1#3.}" -ge "$lowest" ] && [ "${1#3.}" -lt "$beyond" ] ;; *) false ;; esac; }

if [ -e "$venv/torch-wanted" ]; then
  [ "$torch" = keep ] || fail "make TORCH=keep was interrupted: call it again, or remove $venv to download a torch of its own (5 GB)."
  python=${python:-$(cat "$venv/torch-wanted")}
fi
if [ -z "$python" ]; then
  names=()
  [ ! -e "$bin/pip" ] || names=("$bin/python")
  for ((minor = lowest; minor < beyond; minor++)); do names+=("python3.$minor"); done
  for name in "${names[@]}" python3 python; do
    if fits "$(version "$name")"; then python=$name && break; fi
  done
  [ -n "$python" ] || fail "$range is needed, and none is found: install one, or name it: make PYTHON=/path/to/python ..."
fi
found=$(version "$python") || fail "$python does not run: name another: make PYTHON=/path/to/python ..."
fits "$found" || fail "$range is needed, $python is $found: install one, or name it: make PYTHON=/path/to/python ..."
"$python" -c 'import venv, ensurepip' 2>/dev/null || fail "this Python has no venv module: on Debian and Ubuntu install python$found-venv."
[ -w . ] || fail "this folder cannot be written ($PWD): copy the project to one that can."
[ -z "$torch" ] || [ "$torch" = keep ] || fail "TORCH is keep or nothing, not $torch."
[ ! -e "$venv/torch-kept" ] || torch=keep

left_out='^$'
if [ "$torch" = keep ]; then
  torch_of=$("$python" -P book_tools/kept_torch.py 2>&1) || fail "TORCH=keep takes the torch and torchvision of $python: $torch_of"
  left_out='^(torch|torchvision|triton|nvidia-.*|cuda-.*)=='
  needed=2700
fi
free_mb=$(df -Pm . | awk 'NR==2 {print $4}')
if [ ! -x "$bin/python" ] && [ "${free_mb:-0}" -lt "$needed" ]; then
  fail "the environment needs about $needed MB while it is made, and only ${free_mb} MB are free here: free some space and call make again."
fi

echo "environment: Python $found, ${torch_of:+its $torch_of, other }packages from requirements.lock (some minutes the first time)"
rm -f "$venv/.installed"
if [ "$python" != "$bin/python" ]; then
  [ "$torch" != keep ] && [ "$(version "$bin/python")" = "$found" ] || clear=--clear
  "$python" -m venv ${clear:-} "$venv" >"$log" 2>&1 || explain "the environment could not be made"
  [ "$torch" != keep ] || echo "$python" >"$venv/torch-wanted"
fi
start=$SECONDS
awk "/$left_out/ {skip = 1} !skip {print} !/\\\\\$/ {skip = 0}" requirements.lock >"$log.lock"
"$bin/python" -m pip install --disable-pip-version-check --no-deps --require-hashes \
  --progress-bar off -r "$log.lock" >"$log" 2>&1 &
pip=$!
while kill -0 "$pip" 2>/dev/null; do
  sleep 1
  kill -0 "$pip" 2>/dev/null && [ $(((SECONDS - start) % 30)) -eq 29 ] &&
    echo "environment: $((SECONDS - start)) s, $(du -sm "$venv" 2>/dev/null | cut -f1) MB of about $((needed - 1400)) MB installed"
done
wait "$pip" || explain "the packages could not be installed"
pip=
"$bin/python" -m pip install --disable-pip-version-check --no-deps --no-build-isolation \
  --no-index --quiet -e . >"$log" 2>&1 || explain "the project could not be installed"
if [ "$torch" = keep ] && [ "$python" != "$bin/python" ]; then
  site=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  "$python" -P book_tools/kept_torch.py "$site" >"$log" 2>&1 || explain "torch could not be linked"
  mv "$venv/torch-wanted" "$venv/torch-kept"
fi
touch "$venv/.installed"
echo "environment: ready after $((SECONDS - start)) s"
