#!/bin/sh
# Draws the secrets of compose.yaml and compose.single.yaml into deploy/secrets/; what is there already stays.
# The folder is for its owner alone. The files in it can be read by the containers' users, who see nothing else of it.
set -eu

cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets

draw() {
    [ -e "$1" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$1"
    chmod 0644 "$1"
}

draw postgres_password
draw s3_access_key
draw s3_secret_key
draw sender_token

if [ ! -e spanverdict.toml ]; then
    {
        cat ../spanverdict.toml
        printf '\n# What senders present as: authorization: Bearer (what is in sender_token)\n[[tokens]]\nname = "senders"\nsha256 = "'
        { command -v sha256sum >/dev/null && sha256sum || shasum -a 256; } <sender_token | cut -d ' ' -f 1 | tr -d '\n'
        printf '"\n'
    } >spanverdict.toml
fi
if [ ! -e s3.json ]; then
    printf '{"identities": [{"name": "spanverdict", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], ' \
        "$(cat s3_access_key)" "$(cat s3_secret_key)" >s3.json
    printf '"actions": ["Admin"]}]}\n' >>s3.json
fi
chmod 0644 spanverdict.toml s3.json
