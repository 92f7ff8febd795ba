//! The audit as its readers see it: lists and their filters, exports and streams.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use jeton::authority::RetentionScan;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::harness::{Actor, Answer, NORTH, SOUTH, Tenant, TestApp, password, request};

/// Writes the lines of everything on record, as the server does within a second.
async fn seal(app: &TestApp) {
    while app.operator().seal_audit().await.unwrap() {}
}

/// Creates a token of an organization, and returns its number.
async fn issue(app: &TestApp, admin: &Actor, tenant: &Tenant, name: &str) -> String {
    let order = json!({"name": name, "organization": tenant.name, "owner": "organization"});
    let made = app.post(admin, "/tokens", order).await.is(201);
    made.text_at("/token_info/id")
}

/// Returns the `id` of a line or head in a stream.
fn position(line: &Value) -> String {
    let hash = STANDARD.decode(line["hash"].as_str().unwrap()).unwrap();
    let digits: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{digits}", line["sequence"])
}

/// Returns the sequence numbers of a page.
fn numbers(page: &Answer) -> Vec<u64> {
    let page = page.json();
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|line| line["sequence"].as_u64().unwrap())
        .collect()
}

/// Returns all lines that an actor sees with some filters, page by page.
async fn all(app: &TestApp, actor: &Actor, filters: &str) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app
            .get(actor, &format!("/audit?limit=7{filters}{cursor}"))
            .await
            .is(200)
            .json();
        lines.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => {
                assert_eq!(page["has_next"], false);
                return lines;
            }
        }
    }
}

#[tokio::test]
async fn a_line_says_who_did_what_with_which_token_and_from_where() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    let order = json!({"name": "audited", "organization": NORTH.name, "scopes": ["content:write"], "expires_in": "1d"});
    let mut creates = request(&admin, Method::POST, "/tokens", Some(order));
    let headers = creates.headers_mut();
    headers.insert("x-request-id", "of-the-drill".parse().unwrap());
    headers.insert("x-user-email", "ada@example.org".parse().unwrap());
    let made = app.send(creates).await.is(201);
    let id = made.text_at("/token_info/id");
    let revoke = json!({"reason": "a drill"});
    app.post(&admin, &format!("/tokens/{id}/revoke"), revoke)
        .await
        .is(201);
    let path = format!("/audit?organization={}&token={id}", NORTH.name);
    assert_eq!(
        numbers(&app.get(&admin, &path).await.is(200)),
        [0_u64; 0],
        "not sealed yet"
    );
    seal(&app).await;
    let page = app.get(&admin, &path).await.is(200).json();
    let [revoked, issued] = page["items"].as_array().unwrap().as_slice() else {
        panic!("{page}")
    };
    let session = app
        .get(&admin, "/audit?action=session.create&limit=1")
        .await
        .is(200)
        .json();
    for (line, action) in [(issued, "token.issue"), (revoked, "token.revoke")] {
        assert_eq!(line["action"], action);
        assert_eq!(line["actor"], NORTH.email("admin"));
        assert!(
            line["actor_user"].as_str().unwrap().starts_with("user-"),
            "{line}"
        );
        assert_eq!(line["organization"], NORTH.id());
        assert_eq!(line["token"], json!(id));
        assert_eq!(line["surface"], "native");
        assert_eq!(line["address"], "0.0.0.0");
        assert_eq!(line["is_record_deleted"], false);
    }
    assert!(revoked["actor_token"].is_string(), "{revoked}");
    // The session was made before, and concerns no organization.
    assert_eq!(session["items"], json!([]));
    assert_eq!(issued["target"], "audited");
    assert_eq!(issued["after"]["scopes"], json!(["content:write"]));
    assert_eq!(issued["before"], Value::Null);
    assert_eq!(issued["request_id"], "of-the-drill");
    assert_eq!(issued["on_behalf_of"], "ada@example.org");
    assert_eq!(issued["source"], "token");
    assert_eq!(issued["source_number"].to_string(), id);
    assert_eq!(revoked["target"], made.json()["token_info"]["jti"]);
    assert_eq!(revoked["reason"], "a drill");
    assert_eq!(revoked["source"], "event");

    // A change names what was before.
    let teams = format!("/organizations/{}/teams", NORTH.name);
    let team = app
        .post(&admin, &teams, json!({"name": "before"}))
        .await
        .is(201)
        .text_at("/id");
    app.patch(&admin, &format!("{teams}/{team}"), json!({"name": "after"}))
        .await
        .is(200);
    seal(&app).await;
    let page = app.get(&admin, "/audit?action=team.update").await.is(200).json();
    let [line] = page["items"].as_array().unwrap().as_slice() else {
        panic!("{page}")
    };
    assert_eq!(line["target"], json!(team));
    assert_eq!(line["before"], json!({"name": "before"}));
    assert_eq!(line["after"], json!({"name": "after"}));
    assert_eq!(line["source"], "action");
}

/// Each filter gives exactly the lines that all lines have with it.
#[tokio::test]
async fn each_filter_is_exact_and_filters_are_combined() {
    let app = TestApp::new().await;
    let (north, south, site) = (app.admin_of(&NORTH), app.admin_of(&SOUTH), app.site_admin());
    let mut tokens = Vec::new();
    for (admin, tenant) in [(&north, &NORTH), (&south, &SOUTH), (&north, &NORTH)] {
        app.clock.advance(10);
        let id = issue(&app, admin, tenant, &format!("of {}", tenant.name)).await;
        app.clock.advance(10);
        let reason = json!({"reason": format!("Leaked by {}", tenant.team)});
        app.post(admin, &format!("/tokens/{id}/revoke"), reason)
            .await
            .is(201);
        tokens.push(id);
    }
    seal(&app).await;
    let everything = all(&app, &site, "").await;
    assert!(everything.len() > 20, "{}", everything.len());
    let jti = app
        .get(&north, &format!("/tokens/{}", tokens[0]))
        .await
        .is(200)
        .text_at("/jti");
    let user = everything
        .iter()
        .find(|line| line["actor"] == NORTH.email("admin"))
        .unwrap()["actor_user"]
        .clone();
    let user = user.as_str().unwrap();
    let middle = everything
        .iter()
        .find(|line| line["token"] == json!(tokens[1]))
        .unwrap()["at"]
        .clone();
    let middle = middle.as_str().unwrap();
    let email = NORTH.email("admin");
    let has_text = |line: &Value, text: &str| {
        let fields = ["action", "actor", "target", "reason"];
        let is_jti = |field: &str| field == "target" && line["source"] == "event";
        fields.iter().any(|field| {
            let value = line[field].as_str().unwrap_or_default().to_lowercase();
            !is_jti(field) && value.contains(&text.to_lowercase())
        })
    };
    type Matches<'a> = Box<dyn Fn(&Value) -> bool + 'a>;
    let filters: Vec<(String, Matches<'_>)> = vec![
        (
            format!("organization={}", NORTH.name),
            Box::new(|line| line["organization"] == NORTH.id()),
        ),
        (
            format!("organization={}", SOUTH.id()),
            Box::new(|line| line["organization"] == SOUTH.id()),
        ),
        (
            format!("actor={email}"),
            Box::new(|line| line["actor"] == json!(email)),
        ),
        (
            format!("actor={user}"),
            Box::new(|line| line["actor_user"] == user),
        ),
        (
            format!("token={}", tokens[1]),
            Box::new(|line| line["token"] == json!(tokens[1])),
        ),
        (
            format!("token={jti}"),
            Box::new(|line| line["token"] == json!(tokens[0])),
        ),
        (
            "action=token.revoke".to_owned(),
            Box::new(|line| line["action"] == "token.revoke"),
        ),
        (
            format!("after={middle}"),
            Box::new(|line| line["at"].as_str().unwrap() >= middle),
        ),
        (
            format!("before={middle}"),
            Box::new(|line| line["at"].as_str().unwrap() < middle),
        ),
        (
            "q=leaked%20by%20POLAR".to_owned(),
            Box::new(|line| has_text(line, "leaked by polar")),
        ),
        (
            "q=token.iss".to_owned(),
            Box::new(|line| has_text(line, "token.iss")),
        ),
    ];
    let sequences = |lines: &[Value]| {
        lines
            .iter()
            .map(|line| line["sequence"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    for (filter, matches) in &filters {
        let expected: Vec<Value> = everything.iter().filter(|line| matches(line)).cloned().collect();
        assert!(
            !expected.is_empty() && expected.len() < everything.len(),
            "{filter}: the control"
        );
        let found = all(&app, &site, &format!("&{filter}")).await;
        assert_eq!(sequences(&found), sequences(&expected), "{filter}");
        for (other, also) in &filters {
            let expected: Vec<Value> = expected.iter().filter(|line| also(line)).cloned().collect();
            let names = |filter: &str| filter.split('=').next().unwrap().to_owned();
            if names(filter) != names(other) {
                let found = all(&app, &site, &format!("&{filter}&{other}")).await;
                assert_eq!(sequences(&found), sequences(&expected), "{filter} and {other}");
            }
        }
    }
    // What does not exist has no lines; what is no value is refused by name.
    let unknown = "019b76da-a800-7000-8000-0123456789ab";
    for nothing in [
        "actor=nobody",
        &format!("token={unknown}"),
        "token=999999999",
        "action=token",
        "q=no+such+text",
    ] {
        assert_eq!(
            all(&app, &site, &format!("&{nothing}")).await,
            [] as [Value; 0],
            "{nothing}"
        );
    }
    for (bad, blamed) in [
        ("token=07", "value_error at query.token"),
        ("limit=0", "greater_than_equal at query.limit"),
        ("limit=1001", "less_than_equal at query.limit"),
        ("after=yesterday", "datetime_from_date_parsing at query.after"),
        ("actor=", "string_too_short at query.actor"),
    ] {
        app.get(&site, &format!("/audit?{bad}")).await.blames(&[blamed]);
    }
    for cursor in ["x", "-1", "99999999999999999999"] {
        app.get(&site, &format!("/audit?cursor={cursor}"))
            .await
            .fails(400, "bad_cursor");
    }
}

/// New lines change no page that follows, in either order: no line is left out or shown twice.
#[tokio::test]
async fn pages_stay_the_same_while_lines_are_added() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for number in 0..12 {
        issue(&app, &admin, &NORTH, &format!("token {number}")).await;
    }
    seal(&app).await;
    let before = all(&app, &admin, "").await;
    let before: Vec<u64> = before
        .iter()
        .map(|line| line["sequence"].as_u64().unwrap())
        .collect();
    for descending in [true, false] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for round in 0.. {
            let page = app
                .get(&admin, &format!("/audit?limit=5&descending={descending}{cursor}"))
                .await
                .is(200);
            seen.extend(numbers(&page));
            let next = page.text_at("/next_cursor");
            if next.is_empty() {
                break;
            }
            cursor = format!("&cursor={next}");
            // The list in ascending order goes on to the new lines; it must end.
            if round < 3 {
                issue(&app, &admin, &NORTH, &format!("meanwhile {descending} {round}")).await;
                seal(&app).await;
            }
        }
        let mut expected = before.clone();
        if !descending {
            // Those of the first round, and of this one.
            let now = all(&app, &admin, "&descending=false").await;
            expected = now
                .iter()
                .map(|line| line["sequence"].as_u64().unwrap())
                .collect();
            assert!(expected.len() >= before.len() + 6, "the control");
            assert!(expected.is_sorted());
        }
        assert_eq!(seen, expected, "descending={descending}");
    }
}

/// What an organization's administrators read contains nothing of another organization, nor of the deployment.
#[tokio::test]
async fn nobody_sees_lines_of_another_organization() {
    let app = TestApp::new().await;
    let (north, south, site) = (app.admin_of(&NORTH), app.admin_of(&SOUTH), app.site_admin());
    let secret_of_south = issue(&app, &south, &SOUTH, "desert-secret").await;
    issue(&app, &north, &NORTH, "polar-secret").await;
    let order = json!({"name": "deployment-secret", "owner": "deployment"});
    app.post(&site, "/tokens", order).await.is(201);
    seal(&app).await;
    let reader = app.organization_token(&NORTH, &["audit:read"]).await.holder;
    for actor in [&north, &reader] {
        for filters in [
            "",
            "&q=secret",
            &format!("&token={secret_of_south}"),
            &format!("&actor={}", SOUTH.email("admin")),
        ] {
            for line in all(&app, actor, filters).await {
                assert_eq!(line["organization"], NORTH.id(), "{filters}");
                let text = line.to_string();
                let leaks = ["desert", "deployment-secret", SOUTH.name]
                    .iter()
                    .any(|leak| text.contains(leak));
                assert!(!leaks, "{text}");
            }
        }
        assert_eq!(all(&app, actor, "&q=polar-secret").await.len(), 1, "the control");
        let path = format!("/audit?organization={}", SOUTH.name);
        app.get(actor, &path).await.fails(404, "not_found");
    }
    for organization in [NORTH.name, SOUTH.name] {
        assert!(
            !all(&app, &site, &format!("&organization={organization}"))
                .await
                .is_empty()
        );
    }
    assert_eq!(all(&app, &site, "&q=deployment-secret").await.len(), 1);
}

/// A member of several organizations names one; a member without the role of an admin sees none.
#[tokio::test]
async fn the_audit_is_for_administrators() {
    let app = TestApp::new().await;
    let (member, lead) = (app.member_of(&NORTH), app.team_admin(&NORTH));
    for actor in [&member, &lead] {
        app.get(actor, "/audit").await.fails(403, "forbidden");
    }
    let team = app.team_token(&NORTH, &["audit:read"]).await.holder;
    app.get(&team, "/audit").await.fails(403, "forbidden");
    let unscoped = app.organization_token(&NORTH, &["tokens:read"]).await.holder;
    app.get(&unscoped, "/audit")
        .await
        .fails(403, "insufficient_scope");
    let admin = app.admin_of(&NORTH);
    let path = format!("/organizations/{}/members/{}", SOUTH.name, NORTH.email("admin"));
    app.put(&app.site_admin(), &path, json!({"role": "member"}))
        .await
        .is(204);
    app.get(&admin, "/audit").await.fails(400, "organization_needed");
    let path = format!("/audit?organization={}", SOUTH.name);
    app.get(&admin, &path).await.fails(403, "forbidden");
    let path = format!("/audit?organization={}", NORTH.name);
    app.get(&admin, &path).await.is(200);
}

/// Returns the lines of an export.
async fn export(app: &TestApp, actor: &Actor, filters: &str) -> Vec<Value> {
    let answer = app.get(actor, &format!("/audit/export?{filters}")).await.is(200);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert!(answer.text.is_empty() || answer.text.ends_with('\n'));
    answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// An export has the same lines as the list, over many pages of the store too.
#[tokio::test]
async fn an_export_is_the_list() {
    let app = TestApp::new().await;
    let (admin, site) = (app.admin_of(&NORTH), app.site_admin());
    for number in 0..300 {
        issue(&app, &admin, &NORTH, &format!("token {number}")).await;
    }
    let theirs = issue(&app, &app.admin_of(&SOUTH), &SOUTH, "desert-secret").await;
    seal(&app).await;
    let reader = app.organization_token(&NORTH, &["audit:read"]).await.holder;
    seal(&app).await;
    for actor in [&admin, &reader, &site] {
        for filters in [
            "",
            "&action=token.issue",
            "&q=token+29",
            &format!("&token={theirs}"),
        ] {
            let listed = all(&app, actor, &format!("&descending=false{filters}")).await;
            assert_eq!(
                export(&app, actor, filters.trim_start_matches('&')).await,
                listed,
                "{filters}"
            );
        }
    }
    let own = export(&app, &admin, "").await;
    let middle = own[150]["sequence"].to_string();
    let rest = export(&app, &admin, &format!("after_sequence={middle}")).await;
    assert_eq!(rest, own[151..]);
    assert!(own.len() > 300, "the control: {}", own.len());
    assert!(own.iter().all(|line| line["organization"] == NORTH.id()));
    assert!(export(&app, &site, "").await.len() > own.len());
    let path = format!("/audit/export?organization={}", SOUTH.name);
    app.get(&reader, &path).await.fails(404, "not_found");
    app.get(&app.member_of(&NORTH), "/audit/export")
        .await
        .fails(403, "forbidden");
}

/// A client that reads an export slowly gets no further page after its token was revoked.
#[tokio::test]
async fn an_export_ends_with_its_token() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    for number in 0..1_200 {
        issue(&app, &admin, &NORTH, &format!("token {number}")).await;
    }
    seal(&app).await;
    let whole = export(&app, &admin, "").await.len();
    for ends in [false, true] {
        let reader = app.organization_token(&NORTH, &["audit:read"]).await;
        let request = request(&reader.holder, Method::GET, "/audit/export", None);
        let response = app.router().oneshot(request).await.unwrap();
        let mut frames = response.into_body().into_data_stream();
        let mut lines = 0;
        let count = |frame: &[u8]| frame.iter().filter(|byte| **byte == b'\n').count();
        lines += count(&frames.next().await.unwrap().unwrap());
        if ends {
            app.post(&admin, &format!("/tokens/{}/revoke", reader.id), json!({}))
                .await
                .is(201);
        }
        let mut is_cut = false;
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(frame) => lines += count(&frame),
                Err(_) => is_cut = true,
            }
        }
        assert_eq!(is_cut, ends);
        assert_eq!(lines < whole, ends, "{lines} of {whole}");
    }
}

/// A stream as its client reads it.
struct Stream {
    frames: futures_util::stream::BoxStream<'static, String>,
    text: String,
}

/// An event: its name, its id and its data.
type Event = (String, String, Value);

impl Stream {
    async fn open(app: &TestApp, reader: &Actor, query: &str, last: Option<&str>) -> Self {
        let mut request = request(reader, Method::GET, &format!("/audit/stream{query}"), None);
        if let Some(last) = last {
            request
                .headers_mut()
                .insert("last-event-id", last.parse().unwrap());
        }
        let response: Response<Body> = app.router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let data = response.into_body().into_data_stream();
        let frames = data.map(|frame| String::from_utf8(frame.unwrap().to_vec()).unwrap());
        Self {
            frames: frames.boxed(),
            text: String::new(),
        }
    }

    /// Returns the next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().to_owned()
                };
                let (name, id, data) = (field("event: "), field("id: "), field("data: "));
                let retry = field("retry: ");
                self.text = rest.to_owned();
                if retry.is_empty() {
                    return Some((name, id, serde_json::from_str(&data).unwrap()));
                }
            }
            self.text += &timeout(Duration::from_secs(20), self.frames.next())
                .await
                .unwrap()?;
        }
    }

    /// Returns the next line, past heartbeats.
    async fn line(&mut self) -> Option<(String, Value)> {
        loop {
            let (name, id, data) = self.next().await?;
            if name.is_empty() {
                assert_eq!(id, position(&data));
                return Some((id, data));
            }
            assert_eq!(name, "head");
        }
    }
}

/// A stream sends each new line as the list shows it; after a break it goes on behind the last id, heartbeats included.
#[tokio::test]
async fn a_stream_sends_each_new_line_and_resumes_after_the_last() {
    let app = TestApp::new().await;
    let admin = app.admin_of(&NORTH);
    issue(&app, &admin, &NORTH, "before").await;
    seal(&app).await;
    let mut stream = Stream::open(&app, &admin, "", None).await;
    let (name, begins, head) = stream.next().await.unwrap();
    assert_eq!((name.as_str(), &begins), ("head", &position(&head)));
    let begun = head["sequence"].as_u64().unwrap();
    for name in ["first", "second"] {
        issue(&app, &admin, &NORTH, name).await;
        seal(&app).await;
        assert_eq!(stream.line().await.unwrap().1["target"], name);
    }
    drop(stream);
    for name in ["third", "fourth"] {
        issue(&app, &admin, &NORTH, name).await;
    }
    seal(&app).await;
    let listed = all(&app, &admin, "&descending=false&action=token.issue").await;
    let expected: Vec<&Value> = listed
        .iter()
        .filter(|line| line["sequence"].as_u64().unwrap() > begun)
        .collect();
    assert_eq!(expected.len(), 4, "the control");
    // From the beginning of the first stream, and from the middle; the header counts more than the parameter.
    let middle = position(expected[1]);
    let number = expected[1]["sequence"].to_string();
    let resumptions = [
        (format!("?after_sequence={begun}"), None, 0),
        (String::new(), Some(&begins), 0),
        (format!("?after_sequence={begun}"), Some(&middle), 2),
        (String::new(), Some(&number), 2),
    ];
    for (query, last, skipped) in resumptions {
        let mut stream = Stream::open(&app, &admin, &query, last.map(String::as_str)).await;
        for line in &expected[skipped..] {
            assert_eq!(stream.line().await.unwrap().1, **line);
        }
    }
    let ahead = app.operator().audit_end().await.unwrap().sequence + 1;
    app.get(&admin, &format!("/audit/stream?after_sequence={ahead}"))
        .await
        .fails(409, "audit_ahead");
    // The line of another history has the same number, and other texts are no position.
    for (last, status) in [
        (format!("{number}-00000000"), 409),
        (format!("{number}-0000"), 422),
        (format!("+{number}"), 422),
    ] {
        let mut resumes = request(&admin, Method::GET, "/audit/stream", None);
        resumes
            .headers_mut()
            .insert("last-event-id", last.parse().unwrap());
        app.send(resumes).await.is(status);
    }
    // Nothing is due after the last line but a heartbeat, whose id does not go back.
    let mut stream = Stream::open(&app, &admin, "", Some(&(ahead - 1).to_string())).await;
    let (_, id, head) = stream.next().await.unwrap();
    assert_eq!(id, position(&head));
    assert_eq!(head["sequence"], ahead - 1);
}

/// A stream contains the lines of its organization only, and all for site administrators.
#[tokio::test]
async fn each_stream_has_only_what_its_reader_may_see() {
    let app = TestApp::new().await;
    let (north, south, site) = (app.admin_of(&NORTH), app.admin_of(&SOUTH), app.site_admin());
    let reader = app.organization_token(&NORTH, &["audit:read"]).await.holder;
    seal(&app).await;
    let (mut one, mut two) = (
        Stream::open(&app, &north, "", None).await,
        Stream::open(&app, &reader, "", None).await,
    );
    let mut everything = Stream::open(&app, &site, "", None).await;
    let path = format!("?organization={}", SOUTH.name);
    let mut named = Stream::open(&app, &site, &path, None).await;
    for round in 0..3 {
        issue(&app, &south, &SOUTH, &format!("desert {round}")).await;
        seal(&app).await;
        issue(&app, &north, &NORTH, &format!("polar {round}")).await;
        seal(&app).await;
        for stream in [&mut one, &mut two] {
            let (_, line) = stream.line().await.unwrap();
            assert_eq!(line["target"], format!("polar {round}"));
        }
        assert_eq!(named.line().await.unwrap().1["target"], format!("desert {round}"));
        for name in ["desert", "polar"] {
            assert_eq!(
                everything.line().await.unwrap().1["target"],
                format!("{name} {round}")
            );
        }
    }
    for actor in [&north, &reader] {
        app.get(actor, &format!("/audit/stream{path}"))
            .await
            .fails(404, "not_found");
    }
    app.get(&app.member_of(&NORTH), "/audit/stream")
        .await
        .fails(403, "forbidden");
}

#[tokio::test]
async fn a_stream_of_the_audit_ends_with_its_token_its_role_and_the_server() {
    let app = TestApp::new().await;
    let (admin, site) = (app.admin_of(&NORTH), app.site_admin());
    let token = app.organization_token(&NORTH, &["audit:read"]).await;
    let path = format!("/users/{}", SOUTH.email("lead"));
    app.patch(&site, &path, json!({"site_admin": true})).await.is(200);
    let second = app.team_admin(&SOUTH);
    seal(&app).await;
    let mut of_token = Stream::open(&app, &token.holder, "", None).await;
    let mut of_role = Stream::open(&app, &second, "", None).await;
    let mut other = Stream::open(&app, &admin, "", None).await;
    for stream in [&mut of_token, &mut of_role, &mut other] {
        assert_eq!(stream.next().await.unwrap().0, "head");
    }
    app.patch(&site, &path, json!({"site_admin": false}))
        .await
        .is(200);
    app.post(&admin, &format!("/tokens/{}/revoke", token.id), json!({}))
        .await
        .is(201);
    seal(&app).await;
    assert!(of_token.next().await.is_none());
    assert!(of_role.next().await.is_none());
    assert_eq!(other.line().await.unwrap().1["action"], "token.revoke");
    app.stop_streams();
    assert!(other.next().await.is_none());
    app.get(&admin, "/audit/stream").await.fails(503, "busy");
}

/// Lines of an organization that was removed are found by its id, by site administrators.
#[tokio::test]
async fn a_removed_organization_is_found_by_its_id() {
    let app = TestApp::new().await;
    let (site, admin) = (app.site_admin(), app.admin_of(&SOUTH));
    let id = NORTH.id();
    app.delete(&site, &format!("/organizations/{}", NORTH.name))
        .await
        .is(204);
    seal(&app).await;
    let lines = all(
        &app,
        &site,
        &format!("&organization={id}&action=organization.delete"),
    )
    .await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    app.get(&admin, &format!("/audit?organization={id}"))
        .await
        .fails(404, "not_found");
    app.get(&site, &format!("/audit?organization={}", NORTH.name))
        .await
        .fails(404, "not_found");
}

/// The line of a token outlives its record, and is deleted when its own retention has ended.
#[tokio::test]
async fn a_line_outlives_its_record_until_its_own_retention_ends() {
    const DAY: i64 = 86_400;
    let mut app = TestApp::new().await;
    let mut admin = app.admin_of(&NORTH);
    let order = json!({"name": "short-lived", "organization": NORTH.name, "expires_in": "1h"});
    let made = app.post(&admin, "/tokens", order).await.is(201);
    let path = format!("/audit?token={}", made.text_at("/token_info/id"));
    let authority = app.authority().await;
    while authority.seal_audit().await.unwrap() {}
    // Only lines with a checkpoint are deleted.
    authority.sign_checkpoint().await.unwrap().unwrap();
    let line = app.get(&admin, &path).await.is(200).json()["items"][0].clone();
    assert_eq!(
        (&line["target"], &line["is_record_deleted"]),
        (&json!("short-lived"), &json!(false))
    );

    let mut scan = RetentionScan::default();
    for (days, is_kept) in [(31, true), (400, false)] {
        app.clock.advance(days * DAY);
        authority.purge(&mut scan).await.unwrap();
        while authority.prune_audit().await.unwrap() {}
        app.restart().await;
        let email = NORTH.email("admin");
        let session = app.log_in(&email, &password(&email)).await.is(200);
        admin = Actor::holding(&session.text_at("/token"));
        let page = app.get(&admin, &path).await.is(200).json();
        if is_kept {
            let kept = &page["items"][0];
            assert_eq!(kept["hash"], line["hash"]);
            assert_eq!((&kept["target"], &kept["after"]), (&Value::Null, &Value::Null));
            assert_eq!(kept["is_record_deleted"], true);
        } else {
            assert_eq!(page["items"], json!([]));
        }
    }
    let stream = "/audit/stream?after_sequence=0";
    app.get(&admin, stream).await.fails(410, "audit_pruned");
}

/// An organization has eight streams, which take none from others, nor from the feed.
#[tokio::test]
async fn an_organization_has_streams_of_its_own() {
    let app = TestApp::new().await;
    let (north, south, site) = (app.admin_of(&NORTH), app.admin_of(&SOUTH), app.site_admin());
    for admin in [&north, &south, &site] {
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(Stream::open(&app, admin, "", None).await);
        }
        app.get(admin, "/audit/stream").await.fails(503, "busy");
        streams.pop();
        streams.push(Stream::open(&app, admin, "", None).await);
        app.get(admin, "/audit/stream").await.fails(503, "busy");
        app.get(&site, "/revocations/stream").await.is(200);
        std::mem::forget(streams);
    }
}
