# What the scripts in ci/ share: where things are cached, how steps are shown, and how each tool is got on a machine that
# has only Rust, Python, gcc and apt. Sourced, never run. Each need_* is cheap when what it needs is there.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/e3
mkdir -p "$CACHE"
# rust-toolchain.toml, deny.toml and the like are found from the working directory.
cd "$ROOT"

# Versions of what is fetched. MPyC's hash is PyPI's own, of the wheel.
MPYC_VERSION=0.11
MPYC_SHA256=059ffa3396089ebb77beb43ea2f8040f2a20f3fc7ff6d3c839df3b3f3c28d38e
NEBULA_VERSION=1.11.0
TAILSCALE_VERSION=1.102.3
HEADSCALE_VERSION=0.29.2
ZIG_PACKAGES=(cargo-zigbuild==0.24.0 ziglang==0.17.1)
PARTY_PACKAGES=('numpy>=2,<3' 'gmpy2>=2.2,<3')
DENY_VERSION=0.20.2
ACTIONLINT_VERSION=1.7.12
SELENIUM_VERSION=4.50.0
# It brings axe-core 4.
AXE_VERSION=0.1.8
# The last one for Node 18 and 20.
PRISM_VERSION=5.14.2
MOTO_PACKAGES=('moto[s3,server]==5.2.5')
TOFU_VERSION=1.12.6
MUSL_TARGETS=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# Where a row of `side_by_side` leaves its steps and notes; empty outside of one.
ROW=

# quietly TITLE COMMAND...: the command's output only if it fails. On a terminal one line counts the seconds and shows the
# newest line of output, and goes away again; elsewhere the title is printed, so that a log shows where it stands.
quietly() {
  attempt "$@"
  return "$STATUS"
}

# attempt TITLE COMMAND...: the same, but always succeeds and leaves the exit status in STATUS. Never put either into an
# `if` or `||`: bash would then ignore `set -e` in everything that COMMAND does.
STATUS=0
attempt() {
  local title=$1 log ticker=
  shift
  log=$(mktemp)
  if [[ -t 2 && -z $ROW ]]; then
    (
      begin=$SECONDS
      # Not longer than the script itself, should that be killed.
      while sleep 1 && kill -0 $$ 2>/dev/null; do
        printf '\r\033[K%s … %d s  %.50s' "$title" $((SECONDS - begin)) "$(tail -n 1 "$log" | tr -d '\r\033')" >&2
      done
    ) &
    ticker=$!
  else
    say "$title …"
  fi
  set +e
  (
    set -e
    "$@"
  ) >"$log" 2>&1 </dev/null
  STATUS=$?
  set -e
  if [[ -n $ticker ]]; then
    kill "$ticker"
    wait "$ticker" 2>/dev/null || true
    printf '\r\033[K' >&2
  fi
  if ((STATUS)); then
    cat "$log" >&2
    say "error: $title failed with status $STATUS: $*"
  fi
  rm -f "$log"
}

# step NAME COMMAND...: a named part of a longer run, timed for `summary`. The first step that fails ends the run.
STEPS=()
NOTES=()
step() {
  local name=$1 begin=$SECONDS
  # What runs beside this has failed: nothing new begins.
  if [[ -n $ROW && -e ${ROW%/*}/failed ]]; then exit 1; fi
  attempt "$@"
  if ((STATUS)); then
    STEPS+=("$(printf '%5d s  FAILED  %s' $((SECONDS - begin)) "$name")")
    if [[ -n $ROW ]]; then touch "${ROW%/*}/failed"; else summary; fi
    exit 1
  fi
  STEPS+=("$(printf '%5d s  ok      %s' $((SECONDS - begin)) "$name")")
}

# side_by_side FUNCTION...: rows of steps, each in a shell of its own, all at once; for what waits more than it computes. After
# a step that failed each row ends the step that it is in, and the run is over.
side_by_side() {
  local row pid dir pids=() failed=0
  dir=$(mktemp -d)
  # Process groups of their own: what interrupts this can so be told to all that a row has started.
  set -m
  for row; do
    # shellcheck disable=SC2030,SC2031 # each row has its own
    (
      ROW=$dir/$row STEPS=() NOTES=()
      trap 'printf "%s\n" "${STEPS[@]}" >"$ROW.steps"; printf "%s\n" "${NOTES[@]}" >"$ROW.notes"' EXIT
      "$row"
    ) </dev/null &
    pids+=($!)
  done
  set +m
  trap 'kill -TERM -- "${pids[@]/#/-}" 2>/dev/null; wait; exit 130' INT TERM
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  trap - INT TERM
  # In the order of the rows, not of their ends.
  # shellcheck disable=SC2031
  for row; do
    mapfile -t -O "${#STEPS[@]}" STEPS < <(grep . "$dir/$row.steps")
    mapfile -t -O "${#NOTES[@]}" NOTES < <(grep . "$dir/$row.notes")
  done
  rm -rf "$dir"
  if ((failed)); then
    summary
    exit 1
  fi
}

# note TEXT: something a reader of the summary must not miss.
note() { NOTES+=("$*"); }
summary() {
  say ''
  printf '%s\n' "${STEPS[@]}" >&2
  printf '%5d s  in all\n' "$SECONDS" >&2
  if ((${#NOTES[@]})); then printf '!! %s\n' "${NOTES[@]}" >&2; fi
}

# locked NAME: makes other scripts of ours wait until this (sub)shell ends, or until `unlock`.
locked() {
  exec {LOCK}>"$CACHE/$1.lock"
  flock -n "$LOCK" && return
  say "waiting for another run that uses $CACHE/$1 …"
  flock "$LOCK"
}
unlock() {
  if [[ -n ${LOCK:-} ]]; then exec {LOCK}>&-; fi
  LOCK=
}

# Cargo's target directory, one for all clones of E3, so that a new clone does not compile the dependencies again.
# Cargo names what it builds by the path inside the workspace and judges freshness by modification time: two clones would
# take each other's stale crates for their own. So when another clone was here last, our own crates (not the
# dependencies) are forgotten first. The lock lasts until the script ends or calls `unlock`.
use_target_dir() {
  local at
  if [[ -z ${CARGO_TARGET_DIR:-} ]]; then
    export CARGO_TARGET_DIR=$CACHE/target
    locked target
    mkdir -p "$CARGO_TARGET_DIR"
    at=$CARGO_TARGET_DIR/.last-clone
    if [[ ! -e $at || $(<"$at") != "$ROOT" ]]; then
      rm -rf "$CARGO_TARGET_DIR"/*/.fingerprint/e3-* "$CARGO_TARGET_DIR"/*/*/.fingerprint/e3-*
      printf '%s\n' "$ROOT" >"$at"
    fi
  fi
  if ! cargo --version >/dev/null 2>&1; then
    quietly 'installing the Rust toolchain' rustup toolchain install
  fi
}

# own_binaries NAME...: copies for this clone of what was just built, in the folder OWN, so that a build in another clone
# cannot pull the binaries from under whatever runs.
own_binaries() {
  local name
  OWN=$CACHE/bin/$(printf '%s' "$ROOT" | sha256sum | cut -c1-16)
  mkdir -p "$OWN"
  for name; do
    cmp -s "$CARGO_TARGET_DIR/debug/$name" "$OWN/$name" || {
      cp "$CARGO_TARGET_DIR/debug/$name" "$OWN/$name.new"
      mv "$OWN/$name.new" "$OWN/$name"
    }
  done
}

as_root() {
  if ((EUID)); then sudo "$@"; else "$@"; fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@"
}

# need_apt PACKAGE...: installs what is missing. The package lists are fetched only if apt cannot do without.
need_apt() {
  local package missing=()
  for package; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == 'install ok installed' ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "these Debian packages are needed, and there is no apt-get: ${missing[*]}"
  apt_install "${missing[@]}" >/dev/null 2>&1 && return
  quietly 'apt-get update' as_root apt-get update -qq
  quietly "apt-get install ${missing[*]}" apt_install "${missing[@]}"
}

# venv NAME PACKAGE...: a virtual environment $CACHE/NAME with these packages, made once and again when the list or the
# Python changes; VENV is set to it.
venv() {
  VENV=$CACHE/$1
  shift
  local want
  # Not the one of an environment that is first in PATH by now: it would be made anew of itself.
  : "${E3_BASE_PYTHON:=$(command -v python3)}"
  export E3_BASE_PYTHON
  want="$E3_BASE_PYTHON $*"
  [[ -x $VENV/bin/python && -e $VENV/.complete && $(<"$VENV/.complete") == "$want" ]] && return
  "$E3_BASE_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "Python 3.10 or newer is needed; python3 is $("$E3_BASE_PYTHON" --version 2>&1 || true)"
  "$E3_BASE_PYTHON" -c 'import ensurepip' 2>/dev/null || need_apt python3-venv
  (
    locked "${VENV##*/}"
    [[ -e $VENV/.complete && $(<"$VENV/.complete") == "$want" ]] && exit
    rm -rf "$VENV"
    "$E3_BASE_PYTHON" -m venv "$VENV"
    quietly "fetching $*" "$VENV/bin/python" -m pip install --disable-pip-version-check --only-binary :all: "$@"
    printf '%s\n' "$want" >"$VENV/.complete"
  )
}

# need_python: the Python that parties run, with the optional modules that MPyC uses when it finds them; MPyC itself is
# not in it, since each session names its own. Sets E3_PYTHON.
need_python() {
  venv party "${PARTY_PACKAGES[@]}"
  export E3_PYTHON=$VENV/bin/python
}

# need_mpyc: the released MPyC, checked against its hash. Sets E3_TEST_WHEEL to its wheel and E3_TEST_MPYC to the
# directory that has `mpyc/`.
need_mpyc() {
  local dir=$CACHE/mpyc/$MPYC_SHA256
  export E3_TEST_WHEEL=$dir/mpyc-$MPYC_VERSION-py3-none-any.whl E3_TEST_MPYC=$dir/unpacked
  [[ -e $dir ]] && return
  need_python
  (
    mkdir -p "${dir%/*}"
    tmp=$(mktemp -d "${dir%/*}/new.XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    printf 'mpyc==%s --hash=sha256:%s\n' "$MPYC_VERSION" "$MPYC_SHA256" >"$tmp/requirements.txt"
    quietly "fetching MPyC $MPYC_VERSION" "$E3_PYTHON" -m pip download --disable-pip-version-check --no-deps \
      --only-binary :all: --require-hashes -r "$tmp/requirements.txt" -d "$tmp/made"
    "$E3_PYTHON" -m zipfile -e "$tmp/made/${E3_TEST_WHEEL##*/}" "$tmp/made/unpacked"
    # Whoever comes first wins; the content is the same.
    mv -T "$tmp/made" "$dir" 2>/dev/null || [[ -e $dir ]]
  )
}

# need_zig: cargo-zigbuild and zig (a C compiler and linker for every target, in one Python package), first in PATH, and
# Rust's standard library for the targets.
need_zig() {
  local target installed
  venv zig "${ZIG_PACKAGES[@]}"
  PATH=$VENV/bin:$PATH
  installed=$(rustup target list --installed)
  for target in "${MUSL_TARGETS[@]}"; do
    grep -qx "$target" <<<"$installed" || quietly "rustup target add $target" rustup target add "$target"
  done
}

# build_agent TARGET...: the agent as it is released, static, at $CARGO_TARGET_DIR/TARGET/release/e3-agent.
build_agent() { build_static e3-agent "$@"; }

# build_static PACKAGE TARGET...: the same for e3-agent or e3-link.
build_static() {
  local package=$1 target targets=()
  shift
  need_zig
  for target; do targets+=(--target "$target"); done
  # All in one call: each ends in minutes of single-threaded link-time optimisation, and so they overlap.
  quietly "building $package for $*" env E3_LINK_LEAN=1 cargo zigbuild --locked --release -p "$package" "${targets[@]}"
}

# need_nebula: nebula and nebula-cert, first in PATH. Debian's do not know certificates of version 2.
need_nebula() {
  local dir=$CACHE/nebula-$NEBULA_VERSION
  PATH=$dir/bin:$PATH
  command -v nebula >/dev/null && command -v nebula-cert >/dev/null && return
  command -v go >/dev/null || die 'nebula is built by Go; install it (https://go.dev/dl), version 1.25 or newer'
  (
    locked nebula
    [[ -x $dir/bin/nebula && -x $dir/bin/nebula-cert ]] && exit
    build=$(mktemp -d)
    trap 'chmod -R u+w "$build"; rm -rf "$build"' EXIT
    quietly "compiling nebula $NEBULA_VERSION (once)" env GOBIN="$build/bin" GOPATH="$build" GOCACHE="$build/cache" CGO_ENABLED=0 \
      go install "github.com/slackhq/nebula/cmd/nebula@v$NEBULA_VERSION" "github.com/slackhq/nebula/cmd/nebula-cert@v$NEBULA_VERSION"
    mkdir -p "$dir/bin"
    # Last what is looked for first.
    mv "$build/bin/nebula-cert" "$build/bin/nebula" "$dir/bin/"
  )
}

# has_tailscale: whether tailscaled and headscale need not be compiled any more.
has_tailscale() {
  local dir=$CACHE/tailscale-$TAILSCALE_VERSION-headscale-$HEADSCALE_VERSION
  [[ -x $dir/tailscaled && -x $dir/headscale ]]
}

# need_tailscale: tailscaled and headscale, first in PATH. They are large (600 s of CPU time), so not on all processors at once.
need_tailscale() {
  local dir=$CACHE/tailscale-$TAILSCALE_VERSION-headscale-$HEADSCALE_VERSION
  PATH=$dir:$PATH
  command -v tailscaled >/dev/null && command -v headscale >/dev/null && return
  command -v go >/dev/null || die 'tailscaled and headscale are built by Go; install it (https://go.dev/dl), version 1.26.6 or newer'
  (
    locked tailscale
    has_tailscale && exit
    build=$(mktemp -d)
    trap 'chmod -R u+w "$build"; rm -rf "$build"' EXIT
    # Each in a module of its own that requires it: so their go.sum is made from Go's public list of hashes, and no proxy is
    # asked which other versions there are.
    from_go() {
      mkdir "$build/$1"
      printf 'module e3/ci\ngo 1.26\nrequire %s v%s\n' "$2" "$3" >"$build/$1/go.mod"
      quietly "compiling $1 $3 (once, some minutes)" env -C "$build/$1" GOPATH="$build/go" GOCACHE="$build/cache" CGO_ENABLED=0 \
        GOFLAGS=-mod=mod GOTOOLCHAIN=auto go build -p 2 -o "$build/bin/" "$2/cmd/$1"
    }
    from_go tailscaled tailscale.com "$TAILSCALE_VERSION"
    from_go headscale github.com/juanfont/headscale "$HEADSCALE_VERSION"
    mkdir -p "$dir"
    # Last what is looked for first.
    mv "$build/bin/headscale" "$build/bin/tailscaled" "$dir/"
  )
}

# has_tofu: whether there is an OpenTofu that need not be compiled any more.
has_tofu() { [[ -n ${E3_TOFU:-} || -x $CACHE/tofu-$TOFU_VERSION/tofu ]]; }

# need_tofu: OpenTofu, compiled once (750 s of CPU time, and 3 GB meanwhile). Sets E3_TOFU to the program, unless it names one already.
need_tofu() {
  local dir=$CACHE/tofu-$TOFU_VERSION
  [[ -z ${E3_TOFU:-} ]] || return 0
  export E3_TOFU=$dir/tofu
  [[ -x $E3_TOFU ]] && return
  command -v go >/dev/null || die 'OpenTofu is built by Go; install it (https://go.dev/dl), version 1.26.6 or newer'
  (
    locked tofu
    [[ -x $dir/tofu ]] && exit
    build=$(mktemp -d)
    trap 'chmod -R u+w "$build"; rm -rf "$build"' EXIT
    # In the module itself: it replaces a library by a version of its own, which only the main module may. Go compares what it
    # fetches with its public list of hashes.
    module=github.com/opentofu/opentofu@v$TOFU_VERSION
    go=(env GOPATH="$build/go" GOCACHE="$build/cache" CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-buildvcs=false go)
    quietly "fetching OpenTofu $TOFU_VERSION" "${go[@]}" mod download "$module"
    quietly "compiling OpenTofu $TOFU_VERSION (once)" "${go[@]}" -C "$build/go/pkg/mod/$module" build -o "$build/tofu" ./cmd/tofu
    mkdir -p "$dir"
    mv "$build/tofu" "$dir/"
  )
}

need_qemu_user() { need_apt qemu-user-static; }

# need_deny: cargo-deny, first in PATH. It is compiled once per machine (about 250 s of CPU time, without the optimisation
# that a check of seconds does not need): neither PyPI nor npm has a version that reads today's `cargo metadata`.
need_deny() {
  local dir=$CACHE/cargo-deny-$DENY_VERSION
  PATH=$dir/bin:$PATH
  [[ -x $dir/bin/cargo-deny ]] && return
  (
    locked cargo-deny
    [[ -x $dir/bin/cargo-deny ]] && exit
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    quietly "compiling cargo-deny $DENY_VERSION (once)" env CARGO_TARGET_DIR="$build" \
      cargo install cargo-deny --version "$DENY_VERSION" --locked --no-default-features --root "$dir" \
      --config profile.release.lto=false --config profile.release.opt-level=1 --config profile.release.codegen-units=16
  )
}

# need_browser: a Debian system with Chromium and its driver, made once; its folder is BROWSER. VENV gets selenium, and axe-core, which
# a package for another driver brings: without that driver.
need_browser() {
  local suite=trixie
  venv browser "selenium==$SELENIUM_VERSION"
  if [[ ! -e $VENV/.axe-$AXE_VERSION ]]; then
    quietly 'fetching axe-core' "$VENV/bin/python" -m pip install --disable-pip-version-check --only-binary :all: --no-deps \
      "axe-playwright-python==$AXE_VERSION"
    touch "$VENV/.axe-$AXE_VERSION"
  fi
  # The parts that only tests of other programs need stay away.
  BROWSER=$CACHE/browser-$suite
  [[ -e $BROWSER ]] && return
  need_apt mmdebstrap debian-archive-keyring
  (
    locked browser
    [[ -e $BROWSER ]] && exit
    tmp=$(mktemp -d "$CACHE/new.XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    # shellcheck disable=SC2016 # for mmdebstrap's shell
    quietly "making a Debian system with Chromium in $BROWSER (once)" mmdebstrap --mode=root --variant=minbase \
      --aptopt='APT::Sandbox::User "root"' --include=chromium,chromium-driver,fonts-dejavu-core,fonts-inter \
      --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
      --customize-hook='echo 127.0.0.1 localhost >"$1/etc/hosts"' \
      "$suite" "$tmp/root" "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
    mv -T "$tmp/root" "$BROWSER"
  )
}

# need_actionlint: actionlint, first in PATH, compiled once; Go checks it against its own public list of hashes.
need_actionlint() {
  local dir=$CACHE/actionlint-$ACTIONLINT_VERSION
  PATH=$dir:$PATH
  [[ -x $dir/actionlint ]] && return
  quietly "compiling actionlint $ACTIONLINT_VERSION (once)" env GOBIN="$dir" GOTOOLCHAIN=auto \
    go install "github.com/rhysd/actionlint/cmd/actionlint@v$ACTIONLINT_VERSION"
}

# has_node: whether there is a Node.js that Prism runs with.
has_node() { command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 18 || (a == 18 && b >= 20) ? 0 : 1)' 2>/dev/null; }

# need_prism: Prism, which holds requests against an OpenAPI description. Sets E3_PRISM to the program.
need_prism() {
  local dir=$CACHE/prism-$PRISM_VERSION
  export E3_PRISM=$dir/node_modules/.bin/prism
  [[ -x $E3_PRISM ]] && return
  has_node || die 'Prism runs with Node.js 18.20 or newer; install it with npm (https://nodejs.org)'
  (
    locked prism
    [[ -x $E3_PRISM ]] && exit
    rm -rf "$dir" "$dir.new"
    mkdir "$dir.new"
    quietly "fetching Prism $PRISM_VERSION" npm install --prefix "$dir.new" --ignore-scripts --no-audit --no-fund --no-update-notifier \
      "@stoplight/prism-cli@$PRISM_VERSION"
    mv "$dir.new" "$dir"
  )
}

# need_moto: an S3 server, and boto3 to look into it. Sets MOTO_PYTHON.
need_moto() {
  venv moto "${MOTO_PACKAGES[@]}"
  export MOTO_PYTHON=$VENV/bin/python
}
