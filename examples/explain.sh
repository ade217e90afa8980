# What does a key lack, and which role is the smallest that gives it? With the first admin key ($ADMIN_KEY).
URL=${URL:-http://127.0.0.1:8400}
post() { curl -sS "$URL$1" -H "X-API-Key: $ADMIN_KEY" -H "Content-Type: application/json" -d "$2"; }
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# 1. A key without a role, and a question about it. No request is sent to the API behind HatchPay.
KEY_ID=$(post /v1/api-key/keys '{"name": "Reports"}' | field '["id"]')
QUESTION="{\"principal\": \"$KEY_ID\", \"method\": \"GET\", \"path\": \"/v1/payment-proxy/transactions\"}"
ANSWER=$(post /v1/access/explain "$QUESTION")
echo "$ANSWER" | python3 -m json.tool

# 2. It is denied, and the answer says for want of what. Attach the smallest role that holds it.
ROLE_ID=$(echo "$ANSWER" | field '["roles_that_grant"][0]["id"]')
curl -sS -o /dev/null -X PUT "$URL/v1/api-key/keys/$KEY_ID/roles" -H "X-API-Key: $ADMIN_KEY" \
  -H "Content-Type: application/json" -d "{\"role_ids\": [\"$ROLE_ID\"]}"

# 3. Ask again.
post /v1/access/explain "$QUESTION" | python3 -m json.tool
