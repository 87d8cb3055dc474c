// node fetch.mjs URL COUNT: posts orders and prints how often each status came, as JSON. Every second body is
// chunked. Node's fetch() knows no expectations.
const [url, count] = [process.argv[2], Number(process.argv[3])];
const statuses = {};

async function post(i) {
  const order = JSON.stringify({ product_name: "Node", amount: (100 + i) / 100 });
  const chunked = i % 2 === 1;
  const body = chunked ? new Blob([order]).stream() : order;
  const answer = await fetch(url, { method: "POST", body, ...(chunked ? { duplex: "half" } : {}) });
  await answer.text();
  statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
}

async function client(first) {
  for (let i = first; i < count; i += 8) await post(i);
}

await Promise.all(Array.from({ length: 8 }, (_, first) => client(first)));
console.log(JSON.stringify(statuses));
