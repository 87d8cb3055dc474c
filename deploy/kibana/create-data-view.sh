#!/bin/sh
# Makes the data view "Orders" in Kibana, once Kibana is up, and the default one if there is no
# default yet. Running it again changes nothing. Needs curl.
set -eu

kibana=${KIBANA_URL:-http://kibana:5601}
index=${ORDER_INDEX:-orders}
deadline=$(($(date +%s) + ${KIBANA_TIMEOUT:-300}))

# request METHOD PATH [BODY]: prints the status, 000 when there is no answer.
request() {
    curl -s -o /dev/null -w '%{http_code}' -m 10 -X "$1" -H 'kbn-xsrf: true' -H 'Content-Type: application/json' \
        ${3:+-d "$3"} "$kibana$2" || true
}

until [ "$(request GET /api/status)" = 200 ]; do
    if [ "$(date +%s)" -ge "$deadline" ]; then
        echo "Kibana at $kibana is not available." >&2
        exit 1
    fi
    sleep 2
done

if [ "$(request GET /api/data_views/data_view/orders)" != 200 ]; then
    status=$(request POST /api/data_views/data_view \
        "{\"data_view\":{\"id\":\"orders\",\"name\":\"Orders\",\"title\":\"$index\",\"timeFieldName\":\"created_at\",\"allowNoIndex\":true}}")
    if [ "$status" != 200 ]; then
        echo "Kibana refused the data view: status $status." >&2
        exit 1
    fi
fi
status=$(request POST /api/data_views/default '{"data_view_id":"orders","force":false}')
if [ "$status" != 200 ]; then
    echo "Kibana refused the default data view: status $status." >&2
    exit 1
fi
echo "The data view Orders is there."
