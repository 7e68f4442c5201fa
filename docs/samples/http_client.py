import sys

from awscrt.http import HttpClient

url = sys.argv[1]

with HttpClient(timeout=30) as client:
    response = client.request("GET", f"{url}/json", redirects=5, decode=True)
    print(response.status, response.json())

    response = client.request("POST", f"{url}/echo", body=(piece for piece in [b"three ", b"pieces "]))
    print("uploaded:", response.text())

    futures = [client.submit("GET", url) for _ in range(10)]
    for future in futures:
        future.result().read()
    print(len(futures), "answers over at most", max(10, client.stats.opened), "connections")
