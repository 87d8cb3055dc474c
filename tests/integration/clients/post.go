// go run post.go URL COUNT: posts orders and prints how often each status came, as JSON. Every second
// body is chunked, two of each four expect "100 Continue".
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func post(client *http.Client, url string, i int) (int, error) {
	var body io.Reader = strings.NewReader(fmt.Sprintf(`{"product_name":"Go","amount":%d.%02d}`, 1+i/100, i%100))
	if i%2 == 1 {
		body = struct{ io.Reader }{body} // of unknown length: chunked
	}
	request, err := http.NewRequest("POST", url, body)
	if err != nil {
		return 0, err
	}
	if i%4 >= 2 {
		request.Header.Set("Expect", "100-continue")
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

func main() {
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	client := &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{ExpectContinueTimeout: 10 * time.Second, MaxIdleConnsPerHost: 8},
	}
	statuses := map[int]int{}
	var lock sync.Mutex
	var clients sync.WaitGroup
	for first := 0; first < 8; first++ {
		clients.Add(1)
		go func(first int) {
			defer clients.Done()
			for i := first; i < count; i += 8 {
				status, err := post(client, os.Args[1], i)
				if err != nil {
					panic(err)
				}
				lock.Lock()
				statuses[status]++
				lock.Unlock()
			}
		}(first)
	}
	clients.Wait()
	text, err := json.Marshal(statuses)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}
