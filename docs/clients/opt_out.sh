#!/usr/bin/env bash
# Records opt-outs: one address a line from stdin, for one tenant, channel and reason.
#
#   TAMIS_API=http://127.0.0.1:8081 TAMIS_KEY=… ./opt_out.sh acme sms unsubscribed ticket-4711 < addresses.txt
#
# With TLS: TAMIS_CURL="--cacert ca.pem --cert client.pem --key client.key".
set -euo pipefail
tenant=$1 channel=$2 reason=$3 evidence=$4

# Addresses hold neither quotes nor backslashes; a line that does is not one.
rows=$(grep -v '["\\]' | sed 's/^/"/; s/$/"/' | paste -sd,)
body="{\"tenant\":\"$tenant\",\"channel\":\"$channel\",\"reason\":\"$reason\",\"evidence\":\"$evidence\",\"addresses\":[$rows]}"

# The same rows on the same evidence are the same call: whoever repeats it after a broken line gets the answer that was lost.
once=$(printf '%s' "$body" | sha256sum | cut -c1-64)

# Key and body by way of files that no list of processes shows. 429 and 503 are tried again, as long as Retry-After says.
printf '%s' "$body" | curl --silent --show-error --fail-with-body --retry 5 ${TAMIS_CURL:-} \
  --header @<(printf 'Authorization: Bearer %s\n' "$TAMIS_KEY") \
  --header 'Content-Type: application/json' \
  --header "Idempotency-Key: \"$once\"" \
  --data-binary @- "$TAMIS_API/v1/suppressions"
echo
