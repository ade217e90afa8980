# A key for somebody who keeps the books, made with the first admin key ($ADMIN_KEY).
URL=${URL:-http://127.0.0.1:8400}
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# 1. Create a key. Its text is shown this once; it may do nothing yet.
NEW=$(curl -sS "$URL/v1/api-key/keys" -H "X-API-Key: $ADMIN_KEY" -H "Content-Type: application/json" \
  -d '{"name": "Tenant API key", "description": "Default tenant API key"}')
KEY_ID=$(echo "$NEW" | field '["id"]') && KEY=$(echo "$NEW" | field '["key"]') && echo "created key $KEY_ID"

# 2. Attach the role with the least that the job needs: gl, general ledger.
ROLE_ID=$(curl -sS "$URL/roles" -H "X-API-Key: $ADMIN_KEY" |
  python3 -c 'import json, sys; print(*[r["id"] for r in json.load(sys.stdin)["data"] if r["name"] == "gl"])')
curl -sS -X PUT "$URL/v1/api-key/keys/$KEY_ID/roles" -H "X-API-Key: $ADMIN_KEY" \
  -H "Content-Type: application/json" -d "{\"role_ids\": [\"$ROLE_ID\"]}"; echo

# 3. Post a transaction to the API behind HatchPay with the new key.
curl -sS "$URL/v1/payment-proxy/transactions" -H "X-API-Key: $KEY" -H "Content-Type: application/json" \
  -d @examples/payments_api/transaction.json; echo

# 4. Read the record of all this.
curl -sS "$URL/v1/audit-log/history?limit=4" -H "X-API-Key: $ADMIN_KEY" | python3 -m json.tool
