# Sourced by ./run and ./test: installs what a fresh Debian machine lacks. Each function says what it does, does
# nothing where nothing is missing, and fails with the reason.

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

fail() {
    printf 'loupe: %s\n' "$*" >&2
    exit 1
}

# Debian packages, by name.
install_packages() {
    say "installing Debian packages: $*"
    command -v apt-get >/dev/null || fail "this system has no apt-get; please install: $*"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "not root and no sudo; please install: $*"
        as_root=sudo
    fi
    $as_root apt-get update -q >/dev/null || fail "apt-get update failed"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install: $*"
}

need_rust() {
    command -v cargo >/dev/null || fail "cargo is missing; install Rust 1.95 or newer first"
    command -v cc >/dev/null || install_packages gcc libc6-dev
    command -v c++ >/dev/null || install_packages g++
}

# Node and the packages pinned in package-lock.json: wasm-opt, the Atlas's sources, the browser driver.
need_node_modules() {
    command -v node >/dev/null && command -v npm >/dev/null || install_packages nodejs npm
    if [ node_modules/.package-lock.json -nt package-lock.json ]; then
        return
    fi
    say "installing the pinned npm packages"
    npm ci --no-audit --no-fund --loglevel=error || fail "npm ci failed"
    touch node_modules/.package-lock.json
}

# The wasm target: rustup's where its server can be reached, else Debian's toolchain, which builds std itself.
need_wasm_target() {
    if command -v rustup >/dev/null; then
        if rustup target list --installed 2>/dev/null | grep -q wasm32-unknown-unknown; then
            return
        fi
        say "adding the wasm target by rustup"
        if timeout 90 rustup target add wasm32-unknown-unknown >/dev/null 2>&1; then
            return
        fi
        say "rustup's server did not answer; using Debian's wasm toolchain instead"
    fi
    if ! [ -x /usr/bin/cargo ] || ! [ -d /usr/lib/rustlib/src/rust ]; then
        install_packages rustc-web cargo-web rust-web-src rust-web-llvm lld-22
    fi
    export LOUPE_WASM_TOOLCHAIN=debian
}

need_chromium() {
    command -v chromium >/dev/null || install_packages chromium
}

# The web client as a bundle (target/web/dist), which the program carries.
build_bundle() {
    say "building the web client (some minutes the first time)"
    cargo build --release -q -p loupe-web-builder
    target/release/loupe-web-builder
}

build_program() {
    say "building loupe (some minutes the first time)"
    cargo build --release -p loupe
}

# The Atlas from the pinned npm packages, anew whenever the program is newer.
build_atlas() {
    if [ "$1/atlas.json" -nt target/release/loupe ]; then
        return
    fi
    say "building the Atlas in $1"
    target/release/loupe atlas build --packages node_modules --out "$1" >/dev/null
}
