#!/usr/bin/env bash
# What `nix run .#vm` does: boots the appliance in QEMU. E3_JOIN names its join file; without one it gets a fleet of its own,
# whose hub runs here as long as the machine does, and one computation, which the machine's console then shows.
# apps.nix sets E3_VM, what boots it; E3_WHEEL, MPyC's wheel; and puts `e3` into PATH.
set -euo pipefail

work=$(mktemp -d)
jobs=()
finish() {
  local job
  for job in "${jobs[@]}"; do kill -- "-$job" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
trap finish EXIT

# beside LOG COMMAND...: runs it until the machine is off, with all that it starts: each is a process group of its own.
beside() {
  local log=$1
  shift
  set -m
  "$@" >"$log" 2>&1 &
  set +m
  jobs+=($!)
}

# until_true SECONDS COMMAND...: looks again and again.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

# The machine reaches the hub under the address that it has here: images/vm.nix has a proxy there.
found_fleet() {
  export E3_KEY=$work/key.pem E3_FLEET=$work/demo
  e3 --quiet key new "$E3_KEY" >/dev/null
  (cd "$work" && e3 --quiet fleet new demo >/dev/null)
  beside "$work/hub.log" e3 hub serve
  if ! until_true 20 grep -qs 'listens at' "$work/hub.log"; then
    echo "the demo's hub does not start; end what uses port 8420, or name a join file of your own fleet as E3_JOIN:" >&2
    cat "$work/hub.log" >&2
    exit 1
  fi
  E3_JOIN=$work/vm.toml
  e3 --quiet fleet invite vm -o "$E3_JOIN" >/dev/null
}

enrolled() { e3 fleet status --json 2>/dev/null | grep -q '"state": *"ready"'; }

# One party is enough for MPyC, and the machine shows how a session ends.
compute() {
  cat >"$work/hello.py" <<'PROGRAM'
from mpyc.runtime import mpc

secint = mpc.SecInt(32)


async def main():
    async with mpc:
        print(await mpc.output(mpc.sum(mpc.input(secint(42)))))


mpc.run(main())
PROGRAM
  # By the name that a wheel has, without that of the store.
  cp "$E3_WHEEL" "$work/mpyc-0.11-py3-none-any.whl"
  cat >"$work/hello.toml" <<'MANIFEST'
name = "hello"
parties = ["vm"]
program = "hello.py"
[mpyc]
version = "0.11"
wheel = "mpyc-0.11-py3-none-any.whl"
MANIFEST
  # A machine that is emulated needs minutes to boot.
  until_true 1800 enrolled
  e3 fleet accept --all --yes
  e3 session sign "$work/hello.toml"
  e3 session push "$work/hello.session" --watch
}

if [[ -z ${E3_JOIN:-} ]]; then
  found_fleet
  beside "$work/compute.log" compute
elif [[ ! -r $E3_JOIN ]]; then
  echo "E3_JOIN names $E3_JOIN, which cannot be read; make one with: e3 fleet invite NAME -o $E3_JOIN" >&2
  exit 1
fi
# What QEMU reads is the credential's name and its text.
E3_CREDENTIALS=$work/credentials
export E3_JOIN E3_CREDENTIALS
printf 'io.systemd.credential.binary:e3.join=%s' "$(base64 -w 0 "$E3_JOIN")" >"$E3_CREDENTIALS"

status=0
"$E3_VM" "$@" || status=$?
if [[ -e $work/compute.log ]]; then cat "$work/compute.log"; fi
((status == 0)) || exit "$status"
