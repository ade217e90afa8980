# The whole record as JSON lines. Should it be cut off, run this again: it goes on behind the last whole line.
touch audit.jsonl headers
[ -z "$(tail -c 1 audit.jsonl)" ] || sed -i '$d' audit.jsonl
after=$(tail -n 1 audit.jsonl | cut -d, -f1 | tr -dc 0-9)
upto=$(grep -i '^hatchpay-export-upto:' headers | tr -dc 0-9 || true)
curl -sS --fail -D headers -H "X-API-Key: $ADMIN_KEY" \
  "$URL/v1/audit-log/export?format=jsonl&after=${after:-0}${upto:+&upto=$upto}" >> audit.jsonl
