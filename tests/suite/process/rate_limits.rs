//! Configured rate limits.

use super::client::Answer;
use super::home::Home;

#[test]
fn rate_limit_headers_state_the_remaining_requests_and_retry_after() {
    let home = Home::new();
    home.configure(
        "trusted_proxies = [\"127.0.0.1/32\"]\n\
         [rate_limits]\n\
         per_address = { per_second = 1, burst = 20 }\n\
         per_caller = { per_second = 1, burst = 3 }\n",
    );
    let server = home.serve();
    let session = server.administrator().get("/api/v1/me");
    assert_eq!(session.status, 200);

    // The owner is counted, from any address.
    let mut caller = server.administrator().with_header("X-Forwarded-For", "192.0.2.1");
    let answers: Vec<_> = (0..8).map(|_| caller.get("/api/v1/me")).collect();
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.json()["code"], "too_many_requests");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(
        answers[0].header("ratelimit-policy").contains("q="),
        "{:?}",
        answers[0]
    );

    // An address is counted before any other check, and does not affect other addresses.
    let mut flood = server.client().with_header("X-Forwarded-For", "192.0.2.2");
    assert!((0..30).any(|_| flood.get("/healthz").status == 429));
    let mut other = server.client().with_header("X-Forwarded-For", "192.0.2.3");
    assert_eq!(other.get("/healthz").status, 200);
}

#[test]
fn without_a_limit_nothing_is_counted_and_no_header_says_otherwise() {
    let home = Home::new();
    let server = home.serve();
    let mut client = server.client();
    for _ in 0..200 {
        let answer = client.get("/healthz");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit"), "");
    }
}

#[test]
fn terraforms_clients_are_told_in_their_own_headers_as_floats() {
    let home = Home::new();
    home.configure(
        "[rate_limits]\n\
         per_address = { per_second = 1, burst = 50 }\n\
         per_caller = { per_second = 2, burst = 3 }\n",
    );
    let server = home.serve();
    let mut caller = server.administrator();
    let answers: Vec<_> = (0..8)
        .map(|_| caller.get("/api/v2/organizations/default/team-tokens"))
        .collect();
    let float = |answer: &Answer, header: &str| answer.header(header).parse::<f64>().unwrap();
    for answer in &answers {
        assert_eq!(float(answer, "x-ratelimit-limit"), 2.0, "{answer:?}");
    }
    let first = &answers[0];
    assert_eq!(first.status, 200);
    assert!(float(first, "x-ratelimit-remaining") > 0.0, "{first:?}");
    assert_eq!(float(first, "x-ratelimit-reset"), 0.0);
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.json()["errors"][0]["title"], "Too many requests");
    assert_eq!(refused.header("tfp-api-version"), "2.6");
    assert_eq!(float(refused, "x-ratelimit-remaining"), 0.0);
    let reset = float(refused, "x-ratelimit-reset");
    assert!(reset > 0.0 && reset <= 0.5, "{reset}");
    // The address has requests left while the caller has none; without a caller only the address
    // counts.
    let mut stranger = server.client();
    let unknown = stranger.get("/api/v2/unheard-of");
    assert_eq!(float(&unknown, "x-ratelimit-limit"), 1.0);
}
