#!/bin/sh
# Makes .venv and fetches Kafka's jars, each only when it is missing or out of date; after the first time it needs no
# network. Called by the Makefile; PYTHON names the interpreter to use. Nothing is installed outside the checkout.
set -eu
export LC_ALL=C.UTF-8 # without it Java cannot load its own files below a path with Chinese characters
cd "$(dirname "$0")/../.."

LOCAL=deploy/local
LIBS=.certlane/kafka/libs
STAMP=.venv/certlane.stamp # written last: an interrupted run is done again
UV_VERSION=0.13.9

missing() {
    echo "certlane: $1" >&2
    exit 1
}

python_is_fit() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if python_is_fit "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    missing "Python >= 3.11 is missing: install it (Debian: apt-get install python3 python3-venv) or set PYTHON=/path/to/it"
}

# What .venv is made from. The checkout's own path is part of it, because a moved virtual environment does not work.
wanted() {
    pwd
    cat requirements.lock pyproject.toml "$LOCAL/java.lock" "$LOCAL/redis.lock"
}

# uv does not read what pip is configured with (files or variables), so a mirror or a certificate set for pip is handed
# on. What is set for uv itself stays.
hand_pip_settings_to_uv() {
    settings=$(.venv/bin/pip config list 2>/dev/null || true)
    for pair in index-url=UV_DEFAULT_INDEX extra-index-url=UV_INDEX trusted-host=UV_INSECURE_HOST cert=SSL_CERT_FILE; do
        variable=${pair#*=}
        value=$(echo "$settings" | sed -nE "s/^(:env:|global|install)\.${pair%=*}='(.*)'\$/\2/p" | head -n 1)
        if [ -n "$value" ] && [ -z "$(printenv "$variable")" ]; then
            export "$variable=$value"
        fi
    done
}

install_locked() {
    .venv/bin/uv pip install --quiet --python .venv/bin/python "$@"
}

# The stack's own finders decide, so that what is found here is what is used later.
found() {
    .venv/bin/python -c "from deploy.local import $1; $1.$2()" 2>/dev/null
}

install_python_packages() {
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        missing "Python's venv module is missing: install it (Debian: apt-get install python3-venv)"
    echo "[1/4] Python packages into .venv …" >&2
    if ! python_is_fit .venv/bin/python || ! .venv/bin/pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear .venv
    fi
    .venv/bin/pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    hand_pip_settings_to_uv
    install_locked --require-hashes -r requirements.lock
    install_locked --no-deps --no-build-isolation -e .
    echo "[2/4] Java …" >&2
    found kafka find_java || install_locked --require-hashes -r "$LOCAL/java.lock"
    echo "[3/4] Redis …" >&2
    found redis find_server || install_locked --require-hashes -r "$LOCAL/redis.lock"
    wanted >"$STAMP"
}

fetch_kafka() {
    command -v mvn >/dev/null ||
        missing "Maven (mvn) is missing, which fetches Kafka: install it (Debian: apt-get install maven)"
    echo "[4/4] Kafka …" >&2
    mkdir -p "$LIBS"
    rm -f "$LIBS"/*.jar
    java=$(.venv/bin/python -c 'from deploy.local import kafka; print(kafka.find_java())')
    command -v java >/dev/null || export JAVA_HOME="${java%/bin/java}" # then it is the one in .venv
    # It colours even an empty output: what it says is shown only when it fails.
    mvn -q -B -Dstyle.color=never -f "$LOCAL/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$PWD/$LIBS" >"$LIBS/fetch.log" 2>&1 || { cat "$LIBS/fetch.log" >&2; exit 1; }
    cp "$LOCAL/kafka/pom.xml" "$LIBS/complete"
}

command -v git >/dev/null || missing "git is missing: install it (Debian: apt-get install git)"
wanted | cmp -s - "$STAMP" || install_python_packages
cmp -s "$LOCAL/kafka/pom.xml" "$LIBS/complete" || fetch_kafka
