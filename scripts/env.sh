# shellcheck shell=bash
# What run.sh, test.sh and .ci/run share: folders, and functions that install what is missing. Sourced, not run.
# Messages go to standard error, so that the program's own output stays clean. A function that cannot do its work
# returns 1 and has said what the user should do.

SEMIETPICKER_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${HOME:=$(unset HOME && printf '%s' ~)}"
export HOME

# Outside the checkout, so that the checkout stays small and several can share what is compiled.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/semietpicker/target}"
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

say() { printf '%s\n' "$*" >&2; }

# Window and Vulkan libraries look for this folder and complain, or fail, without it.
if [ ! -w "${XDG_RUNTIME_DIR:-}" ]; then
  XDG_RUNTIME_DIR="${TMPDIR:-/tmp}/semietpicker-runtime-$(id -u)"
  mkdir -m 700 "$XDG_RUNTIME_DIR" 2>/dev/null || true
  # A folder of that name that belongs to somebody else is not to be trusted.
  if [ ! -O "$XDG_RUNTIME_DIR" ] || [ -L "$XDG_RUNTIME_DIR" ]; then XDG_RUNTIME_DIR=$(mktemp -d); fi
  export XDG_RUNTIME_DIR
fi

# need_apt PACKAGE…: installs Debian packages; without the rights, prints the line to run.
need_apt() {
  [ $# -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    say "These Debian packages, or what your system calls them, are missing: $*"
    say "Install them with your system's package manager, then run this again."
    return 1
  fi
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      say "Some packages are missing, and installing them needs an administrator. Run this line, then run this again:"
      say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
      return 1
    fi
  fi
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@")
  say "Installing $*"
  # The package lists may be absent or old: look first, then refresh them and try again.
  "${install[@]}" >/dev/null 2>&1 && return 0
  "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -qq >&2 || true
  "${install[@]}" >&2 && return 0
  say "apt could not install: $*"
  say "Is the machine connected to the network? Install them by hand, then run this again."
  return 1
}

# A compiler driver that can link, and the certificates that downloads are checked with.
need_build_tools() {
  local packages=() folder
  folder=$(mktemp -d) || return 1
  if ! (printf 'int main(void) { return 0; }\n' | cc -x c - -o "$folder/linked") 2>/dev/null; then
    packages+=(gcc libc6-dev)
  fi
  rm -rf "$folder"
  if [ -z "${SSL_CERT_FILE:-}" ] && [ ! -s /etc/ssl/certs/ca-certificates.crt ] && [ ! -s /etc/pki/tls/certs/ca-bundle.crt ]; then
    packages+=(ca-certificates)
  fi
  need_apt "${packages[@]}"
}

# Whether the Rust compiler that is found first is at least version $1.
rust_is_at_least() {
  local found
  found=$(cd "$SEMIETPICKER_ROOT" && rustc --version 2>/dev/null | cut -d ' ' -f 2)
  [ -n "$found" ] && cargo --version >/dev/null 2>&1 && [ "$(printf '%s\n' "$1" "${found%%-*}" | sort -V | head -n 1)" = "$1" ]
}

# Rust of the version that Cargo.toml asks for, or newer.
need_rust() {
  local wanted
  wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$SEMIETPICKER_ROOT/Cargo.toml")
  rust_is_at_least "$wanted" && return 0
  if command -v rustup >/dev/null; then
    # Leaves the user's default toolchain as it is.
    if ! rustup run "$wanted" rustc --version >/dev/null 2>&1; then
      say "Installing Rust $wanted beside the toolchains that are there"
      rustup toolchain install "$wanted" --profile minimal --component clippy --component rustfmt >&2 || true
    fi
    export RUSTUP_TOOLCHAIN="$wanted"
  else
    command -v curl >/dev/null || need_apt curl || return 1
    say "Installing Rust $wanted for this user, with rustup"
    local installer
    installer=$(mktemp) || return 1
    # The second address serves the same file, for networks that let only the toolchains' own host through.
    if curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o "$installer" ||
      curl --proto '=https' --tlsv1.2 -sSf https://static.rust-lang.org/rustup/rustup-init.sh -o "$installer"; then
      RUSTUP_INIT_SKIP_PATH_CHECK=yes sh "$installer" -y -q --no-modify-path --profile minimal \
        --default-toolchain "$wanted" --component clippy --component rustfmt >&2 || true
    fi
    rm -f "$installer"
    hash -r
  fi
  rust_is_at_least "$wanted" && return 0
  say "Rust $wanted or newer is needed and could not be installed. Install it as https://rustup.rs says, then run this again."
  return 1
}

# rustfmt and clippy, which only the checks need.
need_rust_checks() {
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return 0
  rustup component add rustfmt clippy >&2 && return 0
  say "rustfmt and clippy are missing. Install them (with rustup: rustup component add rustfmt clippy), then run this again."
  return 1
}

# readers_folder: where the Python environments of tests/readers are, by Python's version and what the lists of packages say.
readers_folder() {
  local key
  key=$({ python3 --version && cat "$SEMIETPICKER_ROOT"/tests/readers/requirements*.txt; } 2>/dev/null | sha256sum | cut -c 1-16)
  printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/semietpicker/readers/$key"
}

# Python with the libraries that read our exports independently: one environment for each list of packages in tests/readers,
# in the folder that SEMIETPICKER_READERS names from then on.
need_readers() {
  [ -n "${SEMIETPICKER_READERS:-}" ] && return 0
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    need_apt python3 python3-venv || return 1
  fi
  local folder
  folder=$(readers_folder)
  mkdir -p "$folder" || return 1
  # Another checkout may be at it.
  if ! (if command -v flock >/dev/null; then flock 9; fi && install_readers "$folder") 9>"$folder/lock"; then
    say "Python packages could not be installed. Is the machine connected to the network? Is python3 at least 3.11?"
    return 1
  fi
  export SEMIETPICKER_READERS="$folder"
}

# install_readers FOLDER: makes the environments that are not complete, side by side.
install_readers() {
  local list place pid pids=() failed=0
  for list in "$SEMIETPICKER_ROOT"/tests/readers/requirements*.txt; do
    place="$1/$(basename "$list" .txt)"
    [ -f "$place/complete" ] && continue
    say "Installing what tests/readers/$(basename "$list") lists into $place"
    rm -rf "$place"
    (
      python3 -m venv "$place" &&
        timeout 600 "$place/bin/python" -m pip install -q --disable-pip-version-check --no-input --no-deps \
          --only-binary :all: --no-compile --retries 2 --timeout 20 -r "$list" && touch "$place/complete"
    ) >&2 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return "$failed"
}

# has_library SONAME: whether the loader finds it.
has_library() {
  PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep "^[[:space:]]*$1 " >/dev/null
}

has_software_vulkan() {
  compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/lvp_icd*.json' >/dev/null
}

# Vulkan and its software driver, which draw where there is no GPU that can.
need_software_vulkan() {
  local packages=()
  has_library libvulkan.so.1 || packages+=(libvulkan1)
  has_software_vulkan || packages+=(mesa-vulkan-drivers)
  need_apt "${packages[@]}"
}

# OpenGL's software driver, with which the test of the GPU's path computes where there is no GPU.
need_software_gl() {
  local packages=()
  has_library libEGL.so.1 || packages+=(libegl1)
  has_library libEGL_mesa.so.0 || packages+=(libegl-mesa0 libgl1-mesa-dri)
  need_apt "${packages[@]}"
}

# The libraries that the window loads while it opens, X11 and Wayland alike.
need_window_libraries() {
  local packages=()
  has_library libvulkan.so.1 || packages+=(libvulkan1)
  has_software_vulkan || packages+=(mesa-vulkan-drivers)
  has_library libX11.so.6 || packages+=(libx11-6)
  has_library libX11-xcb.so.1 || packages+=(libx11-xcb1)
  has_library libXcursor.so.1 || packages+=(libxcursor1)
  has_library libXi.so.6 || packages+=(libxi6)
  has_library libxkbcommon.so.0 || packages+=(libxkbcommon0)
  has_library libxkbcommon-x11.so.0 || packages+=(libxkbcommon-x11-0)
  has_library libwayland-client.so.0 || packages+=(libwayland-client0)
  # Speaks to the desktop's file dialog.
  has_library libdbus-1.so.3 || packages+=(libdbus-1-3)
  need_apt "${packages[@]}"
}

# socket_answers PATH: whether something listens at a Unix socket.
socket_answers() {
  if command -v perl >/dev/null && perl -MIO::Socket::UNIX -e 1 2>/dev/null; then
    perl -MIO::Socket::UNIX -e 'exit !IO::Socket::UNIX->new(Peer => $ARGV[0])' "$1" 2>/dev/null
  else
    [ -S "$1" ]
  fi
}

x11_answers() {
  local host="${DISPLAY%:*}" number="${DISPLAY##*:}"
  number="${number%%.*}"
  [[ "$number" =~ ^[0-9]+$ ]] || return 1
  if command -v xdpyinfo >/dev/null; then
    timeout 20 xdpyinfo >/dev/null 2>&1
  elif [ -z "$host" ] || [ "$host" = unix ]; then
    socket_answers "/tmp/.X11-unix/X$number"
  else
    # Such as localhost:10 from ssh -X.
    # shellcheck disable=SC2016
    timeout 10 bash -c ': <"/dev/tcp/$1/$2"' - "$host" "$((6000 + number))" 2>/dev/null
  fi
}

# Whether a window can open. A Wayland display that does not answer is dropped, since it would be tried before X11.
has_display() {
  if [ -n "${WAYLAND_DISPLAY:-}" ]; then
    case "$WAYLAND_DISPLAY" in
      /*) socket_answers "$WAYLAND_DISPLAY" && return 0 ;;
      *) socket_answers "$XDG_RUNTIME_DIR/$WAYLAND_DISPLAY" && return 0 ;;
    esac
    unset WAYLAND_DISPLAY
  fi
  [ -n "${DISPLAY:-}" ] && x11_answers
}

# Says what a first build means, before it starts.
announce_build() {
  [ -d "$CARGO_TARGET_DIR/debug" ] && return 0
  say "The first build compiles about 600 packages: some tens of minutes on two cores. Later builds take about a minute or less."
  mkdir -p "$CARGO_TARGET_DIR" || return 1
  local free_kb
  free_kb=$(df -Pk "$CARGO_TARGET_DIR" | awk 'NR == 2 { print $4 }')
  if [ "${free_kb:-0}" -lt 8000000 ]; then
    say "Only $((${free_kb:-0} / 1000000)) GB are free in $CARGO_TARGET_DIR; the build needs about 8. Set CARGO_TARGET_DIR to build elsewhere."
  fi
}
