# A key that may everything and reads only is reduced to what it used, with the first admin key ($ADMIN_KEY).
URL=${URL:-http://127.0.0.1:8400}
admin() { curl -sS "$URL$1" -H "X-API-Key: $ADMIN_KEY" -H "Content-Type: application/json" "${@:2}"; }
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# 1. A key with the role admin, which then makes two calls.
NEW=$(admin /v1/api-key/keys -d '{"name": "Reports"}')
KEY_ID=$(echo "$NEW" | field '["id"]') && KEY=$(echo "$NEW" | field '["key"]')
ROLE_ID=$(admin /roles |
  python3 -c 'import json, sys; print(*[r["id"] for r in json.load(sys.stdin)["data"] if r["name"] == "admin"])')
admin "/v1/api-key/keys/$KEY_ID/roles" -X PUT -d "{\"role_ids\": [\"$ROLE_ID\"]}" -o /dev/null
curl -sS -o /dev/null "$URL/v1/payment-proxy/transactions" -H "X-API-Key: $KEY"
curl -sS -o /dev/null "$URL/roles" -H "X-API-Key: $KEY"

# 2. What does it need of all that it holds?
admin "/v1/access/advice?key_id=$KEY_ID" | field '["proposed_role"]["permissions"]'

# 3. Apply it; `force` because this key was watched for seconds only. What it used still works, all else is refused.
admin /v1/access/advice -d "{\"key_id\": \"$KEY_ID\", \"force\": true}" | field '["permissions_after"]'
curl -sS -o /dev/null -w "roles %{http_code}\n" "$URL/roles" -H "X-API-Key: $KEY"
curl -sS -o /dev/null -w "keys %{http_code}\n" "$URL/v1/api-key/keys" -H "X-API-Key: $KEY"
