# A policy: nobody lists roles, not even $ADMIN_KEY, unless the call comes from this network.
URL=${URL:-http://127.0.0.1:8400}

# 1. Write it. Roles still decide what may be done; a policy only takes away.
POLICY=$(curl -sS "$URL/v1/policies" -H "X-API-Key: $ADMIN_KEY" -H "Content-Type: application/json" -d '{
  "name": "Roles from the office only",
  "text": "forbid(principal, action == Action::\"access.roles.read\", resource)\nunless { context.client_ip.isInRange(ip(\"192.0.2.0/24\")) };"
}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')

# 2. It holds for the next request. The refusal says that a policy forbids it; its record says which one, as `rule`.
curl -sS -w " %{http_code}\n" "$URL/roles" -H "X-API-Key: $ADMIN_KEY"

# 3. Delete it, and what it forbade may be done again.
curl -sS -X DELETE "$URL/v1/policies/$POLICY" -H "X-API-Key: $ADMIN_KEY"
curl -sS -o /dev/null -w "%{http_code}\n" "$URL/roles" -H "X-API-Key: $ADMIN_KEY"
