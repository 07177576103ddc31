#!/bin/sh
# Runs spanverdict with secrets that lie in files: where NAME_FILE names one, its content becomes the variable NAME.
# The names are those below and all of spanverdict's own (SPANVERDICT_…_FILE).
set -eu

own=$(env | sed -n 's/^\(SPANVERDICT_[A-Za-z0-9_]*\)_FILE=.*/\1/p')
for name in PGPASSWORD AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN $own; do
    eval "file=\${${name}_FILE:-}"
    [ -n "$file" ] || continue
    if [ ! -r "$file" ]; then
        echo "spanverdict: ${name}_FILE names $file, which cannot be read; mount it, readable for user $(id -u)." >&2
        exit 2
    fi
    value=$(cat "$file")
    export "$name=$value"
    unset "${name}_FILE"
done

exec spanverdict "$@"
