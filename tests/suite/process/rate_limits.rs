//! Configured rate limits.

use axum::http::StatusCode;
use serde_json::json;

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

#[test]
fn all_addresses_of_an_ipv6_network_share_one_limit() {
    let home = Home::new();
    home.configure(
        "trusted_proxies = [\"127.0.0.1/32\"]\n\
         [rate_limits]\n\
         per_address = { per_second = 1, burst = 20 }\n",
    );
    let server = home.serve();
    let from = |address: String| {
        let mut client = server.client().with_header("X-Forwarded-For", address);
        client.get("/healthz").status
    };
    let statuses: Vec<u16> = (1..=60)
        .map(|host| from(format!("2001:db8:1:2::{host:x}")))
        .collect();
    let admitted = statuses.iter().filter(|status| **status == 200).count();
    assert!(admitted < 40, "{admitted} of 60");
    assert_eq!(from("2001:db8:1:3::1".to_owned()), 200, "another network is free");
}

#[test]
fn the_tokens_of_an_organization_share_one_limit_whatever_team_they_are_of() {
    let home = Home::new();
    home.configure("[rate_limits]\nper_caller = { per_second = 1, burst = 30 }\n");
    let server = home.serve();
    let mut admin = server.administrator();
    let mut tokens = Vec::new();
    for number in 0..8 {
        let name = format!("team{number}");
        let path = "/api/v1/organizations/default/teams";
        admin
            .post(path, json!({"name": name}))
            .expect(StatusCode::CREATED);
        let wanted = json!({"name": "t", "organization": "default", "owner": "team", "team": name});
        let made = admin.post("/api/v1/tokens", wanted).expect(StatusCode::CREATED);
        tokens.push(made.json()["token"].as_str().unwrap().to_owned());
    }
    let mut anyone = server.client();
    let statuses: Vec<u16> = (0..80)
        .map(|number| anyone.current(&tokens[number % 8]))
        .collect();
    let admitted = statuses.iter().filter(|status| **status == 200).count();
    assert!((30..60).contains(&admitted), "{admitted} of 80");
    // A user is counted apart from the organization.
    assert_eq!(admin.get("/api/v1/me").status, 200);
}
