# A token that may do less than its key ($ADMIN_KEY), for five minutes.
URL=${URL:-http://127.0.0.1:8400}

# 1. Exchange the key for a token (OAuth 2.0 client credentials).
TOKEN=$(curl -sS "$URL/v1/auth/token" -H "X-API-Key: $ADMIN_KEY" -d grant_type=client_credentials \
  -d scope=access.roles.read -d expires_in=300 |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')

# 2. Call with it: what is within its scope is answered, everything else refused.
curl -sS -o /dev/null -w "roles %{http_code}\n" "$URL/roles" -H "Authorization: Bearer $TOKEN"
curl -sS -o /dev/null -w "keys %{http_code}\n" "$URL/v1/api-key/keys" -H "Authorization: Bearer $TOKEN"

# 3. Revoke it; it is refused from the next request on.
curl -sS "$URL/v1/auth/revoke" -H "X-API-Key: $ADMIN_KEY" -d "token=$TOKEN"
curl -sS -o /dev/null -w "revoked %{http_code}\n" "$URL/roles" -H "Authorization: Bearer $TOKEN"
