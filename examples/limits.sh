# A key that may call three times a minute, made with an admin key ($ADMIN_KEY).
URL=${URL:-http://127.0.0.1:8400}
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# 1. Create a key with a limit, and give it a role.
NEW=$(curl -sS "$URL/v1/api-key/keys" -H "X-API-Key: $ADMIN_KEY" -H "Content-Type: application/json" \
  -d '{"name": "Slow key", "rate_limits": [{"requests": 3, "window_seconds": 60}]}')
KEY_ID=$(echo "$NEW" | field '["id"]') && KEY=$(echo "$NEW" | field '["key"]')
ROLE_ID=$(curl -sS "$URL/roles" -H "X-API-Key: $ADMIN_KEY" |
  python3 -c 'import json, sys; print(*[r["id"] for r in json.load(sys.stdin)["data"] if r["name"] == "viewer"])')
curl -sS -o /dev/null -X PUT "$URL/v1/api-key/keys/$KEY_ID/roles" -H "X-API-Key: $ADMIN_KEY" \
  -H "Content-Type: application/json" -d "{\"role_ids\": [\"$ROLE_ID\"]}"

# 2. Call four times: each answer says what is left, and the last one when to come again.
for _ in 1 2 3 4; do
  curl -sS -o /dev/null -w '%{http_code} %header{ratelimit} %header{retry-after}\n' "$URL/roles" -H "X-API-Key: $KEY"
done
