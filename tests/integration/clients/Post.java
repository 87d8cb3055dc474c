// java Post.java URL COUNT: posts orders and prints how often each status came, as JSON. Every second
// body is chunked, two of each four expect "100 Continue".
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

class Post {
    static int post(HttpClient client, URI url, int i) throws Exception {
        byte[] order = ("{\"product_name\":\"Java\",\"amount\":" + (100 + i) + "e-2}").getBytes(StandardCharsets.UTF_8);
        var body = i % 2 == 1 ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(order)) // chunked
                              : BodyPublishers.ofByteArray(order);
        var request = HttpRequest.newBuilder(url).timeout(Duration.ofSeconds(30)).expectContinue(i % 4 >= 2).POST(body);
        return client.send(request.build(), BodyHandlers.discarding()).statusCode();
    }

    public static void main(String[] arguments) throws Exception {
        URI url = URI.create(arguments[0]);
        int count = Integer.parseInt(arguments[1]);
        HttpClient client = HttpClient.newHttpClient();
        Map<Integer, Integer> statuses = new ConcurrentHashMap<>();
        var threads = Executors.newFixedThreadPool(8);
        var posts = IntStream.range(0, count)
                        .mapToObj(i -> threads.submit(() -> statuses.merge(post(client, url, i), 1, Integer::sum)))
                        .toList();
        for (Future<Integer> post : posts)
            post.get();
        System.out.println(statuses.entrySet().stream()
                               .map(entry -> "\"" + entry.getKey() + "\":" + entry.getValue())
                               .collect(Collectors.joining(",", "{", "}")));
        System.exit(0); // the client's threads would linger
    }
}
