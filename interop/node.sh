# What the scripts that run tests under Node share. To be sourced, under `set -euo pipefail`.

# oidc-provider wants it; the same everywhere, so that a run today and a run next year are alike.
NODE=22.23.3

haat_binary() { # ROOT PATH: the absolute path of the haat binary; that of ROOT's build when PATH is empty
    local haat="${2:-${CARGO_TARGET_DIR:-$1/target}/debug/haat}"
    if [ ! -x "$haat" ]; then
        echo "no haat at $haat; build it first: cargo build -p haat" >&2
        return 1
    fi
    echo "$(cd "$(dirname "$haat")" && pwd)/$(basename "$haat")"
}

packages() { # FOLDER: installs what its package-lock.json names, unless that is there
    if ! command -v npm >/dev/null || ! command -v npx >/dev/null; then
        echo "missing: npm" >&2
        echo "install it with your package manager (Debian, Ubuntu: sudo apt-get install npm)" >&2
        return 1
    fi
    (
        cd "$1"
        if ! cmp -s package-lock.json node_modules/installed.json; then
            # Whatever node there is can install; none of the packages has anything to build.
            npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
            cp package-lock.json node_modules/installed.json
        fi
    )
}

node_tests() { # ARGUMENTS of node --test
    npx --yes --loglevel=error --package "node@$NODE" -- node --test --test-reporter=spec "$@"
}
