"""Elasticsearch's client, for Elasticsearch 7 to 9 and for OpenSearch, and what is behind a name."""

from elastic_transport import Urllib3HttpNode
from elasticsearch import Elasticsearch


class _PlainNode(Urllib3HttpNode):
    """The client asks for its own major version's JSON, and refuses a server that does not call itself
    Elasticsearch. All of them speak plain JSON."""

    def perform_request(self, method, target, body=None, headers=None, **options):
        for name in ("Accept", "Content-Type"):
            if headers and name in headers:
                kind = headers[name].partition(";")[0].removeprefix("application/vnd.elasticsearch+")
                headers[name] = "application/" + kind.removeprefix("application/")
        answer = super().perform_request(method, target, body, headers, **options)
        answer.meta.headers["X-Elastic-Product"] = "Elasticsearch"
        return answer


def search_client(url, request_timeout):
    return Elasticsearch(url, request_timeout=request_timeout, max_retries=0, node_class=_PlainNode)


def indices_of(client, name):
    """The index of that name, or those that it is an alias of; none when there is nothing."""
    return sorted(client.indices.get(index=name, ignore_unavailable=True))


def delete_indices(client, name):
    """An alias cannot be deleted by its name."""
    for index in indices_of(client, name):
        client.indices.delete(index=index, ignore_unavailable=True)
