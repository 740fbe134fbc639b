#!/bin/sh
# Every grant of fedbroker.yaml by curl. Wants a token of acme in SUBJECT_TOKEN, the clients' secrets in GATEWAY_SECRET and ORDERS_SECRET, and jq.
set -eu
BROKER=${BROKER:-https://login.example.com}
GATEWAY=gateway:$GATEWAY_SECRET
ORDERS=orders-api:$ORDERS_SECRET

show() { printf '== %s\n' "$1"; jq . <<ANSWER
$2
ANSWER
}
field() { printf '%s' "$1" | jq -er ".$2"; }

# A service's own token, for a target (RFC 6749 section 4.4, RFC 8707).
answer=$(curl -sS --retry 3 "$BROKER/token" -u "$GATEWAY" \
  -d grant_type=client_credentials \
  -d resource=https://orders.example.com \
  -d scope=orders.read)
show 'client_credentials' "$answer"

# A token of the partner, swapped for one of the orders API (RFC 8693): sub is the person, client_id the gateway.
answer=$(curl -sS --retry 3 "$BROKER/token" -u "$GATEWAY" \
  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
  -d subject_token_type=urn:ietf:params:oauth:token-type:access_token \
  -d subject_token="$SUBJECT_TOKEN" \
  -d audience=https://orders.example.com \
  -d scope=orders.read)
show 'exchange' "$answer"
orders_token=$(field "$answer" access_token)

# The orders API calls billing for the person. It shows the token that it was called with, and one of its own that says who acts.
answer=$(curl -sS --retry 3 "$BROKER/token" -u "$ORDERS" \
  -d grant_type=client_credentials \
  -d resource=https://orders.example.com)
actor_token=$(field "$answer" access_token)

answer=$(curl -sS --retry 3 "$BROKER/token" -u "$ORDERS" \
  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
  -d subject_token_type=urn:ietf:params:oauth:token-type:access_token \
  -d subject_token="$orders_token" \
  -d actor_token_type=urn:ietf:params:oauth:token-type:access_token \
  -d actor_token="$actor_token" \
  -d audience=https://billing.example.com)
show 'delegation' "$answer"
billing_token=$(field "$answer" access_token)

# Who the person is, for the gateway: an ID token. No API takes it (token_type N_A).
answer=$(curl -sS --retry 3 "$BROKER/token" -u "$GATEWAY" \
  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
  -d subject_token_type=urn:ietf:params:oauth:token-type:access_token \
  -d subject_token="$SUBJECT_TOKEN" \
  -d requested_token_type=urn:ietf:params:oauth:token-type:id_token)
show 'id_token' "$answer"

# The same swap as the first for clients that speak RFC 7523: the partner's token is the assertion. The same rules decide.
answer=$(curl -sS --retry 3 "$BROKER/token" -u "$GATEWAY" \
  -d grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer \
  -d assertion="$SUBJECT_TOKEN" \
  -d resource=https://orders.example.com)
show 'jwt-bearer' "$answer"

# What a refusal looks like: a code for the caller; why, is in the broker's log under the decision id.
answer=$(curl -sS --retry 3 "$BROKER/token" -u "$GATEWAY" \
  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
  -d subject_token_type=urn:ietf:params:oauth:token-type:access_token \
  -d subject_token="$SUBJECT_TOKEN" \
  -d audience=https://orders.example.com \
  -d scope=orders.delete)
show 'denial' "$answer"

# Introspection (RFC 7662): for those whom a token is for, and for the client that it was given to.
answer=$(curl -sS "$BROKER/introspect" -u "$ORDERS" -d token="$orders_token")
show 'introspection' "$answer"

# Revocation (RFC 7009), by the client that it was given to: what came of the token is over with it.
curl -fsS "$BROKER/revoke" -u "$GATEWAY" -d token="$orders_token"
answer=$(curl -sS "$BROKER/introspect" -u "$ORDERS" -d token="$orders_token")
show 'revoked' "$answer"
answer=$(curl -sS "$BROKER/introspect" -u "$ORDERS" -d token="$billing_token")
show 'revoked with it' "$answer"
