//! Every operation with every kind of caller, generated from the API's document.
//!
//! [`TABLE`] lists the expected statuses. An operation without a row must be public if the document
//! says so, and otherwise be readable by the organization's members. The callers act on the
//! organization [`NORTH`], its team, project, users and tokens.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use jeton::http::Document;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{Actor, Answer, MANAGEMENT, Minted, NORTH, SOUTH, TestApp, form, password, request};

/// The callers, in the order of the columns of [`TABLE`].
pub(super) const CALLERS: [&str; 17] = [
    "nobody",     // no credential
    "garbage",    // a text that is not a token
    "expired",    // an expired API token
    "revoked",    // a revoked API token
    "outsider",   // session: admin of another organization
    "viewer",     // session: viewer of this one, called an admin by its team
    "member",     // session: member of this one
    "lead",       // session: member of this one, admin of its team
    "admin",      // session: admin of this one
    "site",       // session: site administrator, invited to this one
    "unscoped",   // API token of this organization, without a management scope
    "scoped",     // API token of this organization, with the management scopes
    "foreign",    // the same of another organization
    "elsewhere",  // API token of this organization, for another audience
    "team",       // API token of the team, with the management scopes
    "personal",   // API token of the member, with the management scopes
    "deployment", // API token of the deployment, with the management scopes, revocations:read and usage:write
];

/// An operation with a target, and the status for each caller.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) operation: Cow<'static, str>,
    /// The values of the path's placeholders, and an optional query.
    pub(super) target: &'static str,
    body: &'static str,
    expected: [u16; 17],
}

impl Row {
    /// Returns the status for a caller.
    pub(super) fn expected_of(&self, caller: &str) -> u16 {
        let place = CALLERS.iter().position(|name| *name == caller).unwrap();
        self.expected[place]
    }

    /// Returns whether the request is a dry run.
    pub(super) fn is_dry_run(&self) -> bool {
        [self.target, self.body]
            .iter()
            .any(|part| part.contains("dry_run"))
    }
}

const fn row(operation: &'static str, target: &'static str, body: &'static str, expected: [u16; 17]) -> Row {
    Row {
        operation: Cow::Borrowed(operation),
        target,
        body,
        expected,
    }
}

/// The statuses of a public operation.
const FOR_EVERYBODY: [u16; 17] = [200; 17];

/// The statuses of an operation that reads an organization's resources.
#[rustfmt::skip]
const FOR_MEMBERS: [u16; 17] = [401, 401, 401, 401, 404, 200, 200, 200, 200, 200, 403, 200, 404, 403, 200, 200, 200];

/// Returns the rows of the table, and those of operations that need none.
pub(super) fn rows() -> Vec<Row> {
    let usual = operations().into_iter().filter_map(|operation| {
        let is_listed = TABLE.iter().any(|row| row.operation == operation.id);
        (!is_listed && matches!(operation.method, Method::GET | Method::HEAD)).then_some(Row {
            expected: if operation.is_public {
                FOR_EVERYBODY
            } else {
                FOR_MEMBERS
            },
            operation: Cow::Owned(operation.id),
            target: "",
            body: "",
        })
    });
    TABLE.iter().cloned().chain(usual).collect()
}

// `{own}`, `{teams}` and `{members}` are tokens of the organization, its team and its member.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    //                                                                  nobody    expired   outsider  member    admin     unscoped  foreign   team      deployment
    //                                                                       garbage   revoked   viewer    lead      site      scoped    elsewhere personal
    row("introspect",           "", "token={secret}",                  [401, 401, 401, 401, 200, 200, 200, 200, 200, 200, 403, 200, 200, 401, 200, 200, 200]),
    row("revoke_presented_token", "", "token={secret}",                [200, 401, 401, 401, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    row("authorize_request",    "", "",                                [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 200, 401, 200, 200, 200]),
    row("authorize_request",    "?scope=projects:read", "",            [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 200, 403, 403, 401, 403, 403, 403]),
    row("authorize_request",    "?audience=https://elsewhere.example", "",
                                                                       [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 200, 401, 401, 401]),
    row("authorize_request_head", "", "",                              [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 200, 200, 200, 401, 200, 200, 200]),
    row("login",                "", "{login}",                         [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    row("set_up",               "", r#"{"code":"any","email":"ada@example.org","password":"a password of ada","organization":"acme"}"#,
                                                                       [409, 409, 409, 409, 409, 409, 409, 409, 409, 409, 409, 409, 409, 409, 409, 409, 409]),
    row("logout",               "", "",                                [401, 401, 401, 401, 204, 204, 204, 204, 204, 204, 403, 403, 403, 403, 403, 403, 403]),
    row("me",                   "", "",                                [401, 401, 401, 401, 200, 200, 200, 200, 200, 200, 200, 200, 200, 403, 200, 200, 200]),
    row("list_sessions",        "", "",                                [401, 401, 401, 401, 200, 200, 200, 200, 200, 200, 403, 403, 403, 403, 403, 403, 403]),
    row("end_session",          "", "",                                [401, 401, 401, 401, 404, 404, 204, 404, 404, 404, 403, 403, 403, 403, 403, 403, 403]),
    row("list_invitations",     "", "",                                [401, 401, 401, 401, 200, 200, 200, 200, 200, 200, 403, 403, 403, 403, 403, 403, 403]),
    row("accept_invitation",    "", "",                                [401, 401, 401, 401, 404, 404, 404, 404, 404, 204, 403, 403, 403, 403, 403, 403, 403]),
    row("decline_invitation",   "", "",                                [401, 401, 401, 401, 404, 404, 404, 404, 404, 204, 403, 403, 403, 403, 403, 403, 403]),
    row("leave_organization",   "", "",                                [401, 401, 401, 401, 404, 204, 204, 204, 409, 404, 403, 403, 403, 403, 403, 403, 403]),
    row("leave_organization",   "?dry_run=true", "",                   [401, 401, 401, 401, 404, 200, 200, 200, 200, 404, 403, 403, 403, 403, 403, 403, 403]),
    row("list_scopes",          "", "",                                [401, 401, 401, 401, 200, 200, 200, 200, 200, 200, 200, 200, 200, 403, 200, 200, 200]),

    row("list_organizations",   "", "",                                [401, 401, 401, 401, 200, 200, 200, 200, 200, 200, 403, 200, 200, 403, 200, 200, 200]),
    row("create_organization",  "", r#"{"name":"brand-new"}"#,         [401, 401, 401, 401, 201, 201, 201, 201, 201, 201, 403, 403, 403, 403, 403, 403, 403]),
    row("change_organization",  "", r#"{"email":null}"#,               [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),
    row("change_organization",  "", r#"{"policy":{}}"#,                [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 403, 404, 403, 403, 403, 403]),
    row("delete_organization",  "", "",                                [401, 401, 401, 401, 404, 403, 403, 403, 204, 204, 403, 403, 403, 403, 403, 403, 403]),
    row("delete_organization",  "?dry_run=true", "",                   [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 403, 403, 403, 403, 403, 403]),

    row("put_member",           "", r#"{"role":"member"}"#,            [401, 401, 401, 401, 404, 403, 403, 403, 204, 204, 403, 403, 403, 403, 403, 403, 403]),
    row("delete_member",        "", "",                                [401, 401, 401, 401, 404, 403, 403, 403, 204, 204, 403, 403, 403, 403, 403, 403, 403]),
    row("delete_member",        "?dry_run=true", "",                   [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 403, 403, 403, 403, 403, 403]),

    row("list_sent_invitations", "", "",                               [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),
    row("withdraw_invitation",  "", "",                                [401, 401, 401, 401, 404, 403, 403, 403, 204, 204, 403, 403, 403, 403, 403, 403, 403]),

    row("create_project",       "", r#"{"name":"brand-new"}"#,         [401, 401, 401, 401, 404, 403, 403, 403, 201, 201, 403, 201, 404, 403, 403, 403, 201]),
    row("delete_project",       "", "",                                [401, 401, 401, 401, 404, 403, 403, 403, 204, 204, 403, 204, 404, 403, 403, 403, 204]),
    row("delete_project",       "?dry_run=true", "",                   [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),

    row("create_team",          "", r#"{"name":"brand-new"}"#,         [401, 401, 401, 401, 404, 403, 403, 403, 201, 201, 403, 201, 404, 403, 403, 403, 201]),
    row("change_team",          "", r#"{"name":"renamed"}"#,           [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),
    row("delete_team",          "", "",                                [401, 401, 401, 401, 404, 403, 403, 403, 204, 204, 403, 204, 404, 403, 403, 403, 204]),
    row("delete_team",          "?dry_run=true", "",                   [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),
    row("put_team_member",      "", r#"{"role":"member"}"#,            [401, 401, 401, 401, 404, 403, 403, 204, 204, 204, 403, 403, 403, 403, 403, 403, 403]),
    row("delete_team_member",   "", "",                                [401, 401, 401, 401, 404, 403, 403, 204, 204, 204, 403, 403, 403, 403, 403, 403, 403]),

    row("list_tokens",          "?organization={organization}", "",    [401, 401, 401, 401, 404, 200, 200, 200, 200, 200, 403, 200, 404, 403, 200, 200, 200]),
    row("list_tokens",          "", "",                                [401, 401, 401, 401, 200, 200, 200, 200, 200, 200, 403, 200, 200, 403, 200, 200, 200]),
    row("create_token",         "", r#"{"name":"new","organization":"{organization}","owner":"organization"}"#,
                                                                       [401, 401, 401, 401, 404, 403, 403, 403, 201, 201, 403, 201, 404, 403, 403, 403, 201]),
    row("create_token",         "", r#"{"name":"new","organization":"{organization}","owner":"team","team":"{team}"}"#,
                                                                       [401, 401, 401, 401, 404, 403, 403, 201, 201, 201, 403, 201, 404, 403, 201, 403, 201]),
    row("create_token",         "", r#"{"name":"new","organization":"{organization}","owner":"user"}"#,
                                                                       [401, 401, 401, 401, 404, 403, 201, 201, 201, 201, 403, 403, 404, 403, 403, 201, 403]),
    row("create_token",         "", r#"{"name":"new","owner":"deployment"}"#,
                                                                       [401, 401, 401, 401, 403, 403, 403, 403, 403, 201, 403, 403, 403, 403, 403, 403, 201]),
    row("inspect_token",        "", r#"{"token":"{secret}"}"#,         [401, 401, 401, 401, 404, 404, 404, 404, 200, 200, 403, 200, 404, 403, 404, 404, 200]),
    row("inspect_token",        "", r#"{"token":"nonsense"}"#,         [401, 401, 401, 401, 200, 200, 200, 200, 200, 200, 403, 200, 200, 403, 200, 200, 200]),
    row("get_current_token",    "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 403, 200, 200, 200, 200, 200, 200, 200]),
    row("revoke_current_token", "", "{}",                              [401, 401, 401, 401, 403, 403, 403, 403, 403, 403, 201, 201, 201, 201, 201, 201, 201]),
    row("get_token",            "{own}", "",                           [401, 401, 401, 401, 404, 404, 404, 404, 200, 200, 403, 200, 404, 403, 404, 404, 200]),
    row("get_token",            "{teams}", "",                         [401, 401, 401, 401, 404, 404, 404, 200, 200, 200, 403, 200, 404, 403, 200, 404, 200]),
    row("get_token",            "{members}", "",                       [401, 401, 401, 401, 404, 404, 200, 404, 200, 200, 403, 200, 404, 403, 404, 200, 200]),
    row("get_token",            "{deployments}", "",                   [401, 401, 401, 401, 404, 404, 404, 404, 404, 200, 403, 404, 404, 403, 404, 404, 200]),
    row("describe_token",       "{own}", r#"{"name":"renamed"}"#,      [401, 401, 401, 401, 404, 404, 404, 404, 200, 200, 403, 200, 404, 403, 404, 404, 200]),
    row("describe_token",       "{teams}", r#"{"name":"renamed"}"#,    [401, 401, 401, 401, 404, 404, 404, 200, 200, 200, 403, 200, 404, 403, 200, 404, 200]),
    row("describe_token",       "{members}", r#"{"name":"renamed"}"#,  [401, 401, 401, 401, 404, 404, 200, 404, 200, 200, 403, 200, 404, 403, 404, 200, 200]),
    row("revoke_token",         "{own}", "{}",                         [401, 401, 401, 401, 404, 404, 404, 404, 201, 201, 403, 201, 404, 403, 404, 404, 201]),
    row("revoke_token",         "{teams}", "{}",                       [401, 401, 401, 401, 404, 404, 404, 201, 201, 201, 403, 201, 404, 403, 201, 404, 201]),
    row("revoke_token",         "{members}", "{}",                     [401, 401, 401, 401, 404, 404, 201, 404, 201, 201, 403, 201, 404, 403, 404, 201, 201]),

    row("report_usage",         "", r#"{"uses":[]}"#,                  [401, 401, 401, 401, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 200]),
    row("rotate_token",         "{own}", r#"{}"#,                      [401, 401, 401, 401, 404, 404, 404, 404, 201, 201, 403, 403, 404, 403, 404, 404, 403]),
    row("rotate_token",         "{teams}", r#"{}"#,                    [401, 401, 401, 401, 404, 404, 404, 201, 201, 201, 403, 403, 404, 403, 403, 404, 403]),
    row("rotate_token",         "{members}", r#"{}"#,                  [401, 401, 401, 401, 404, 404, 201, 404, 403, 403, 403, 403, 404, 403, 404, 403, 403]),
    row("rotate_current_token", "", r#"{}"#,                           [401, 401, 401, 401, 403, 403, 403, 403, 403, 403, 201, 201, 201, 201, 201, 201, 201]),
    row("revoke_tokens",        "", r#"{"organization":"{organization}","all":true,"dry_run":true}"#,
                                                                       [401, 401, 401, 401, 404, 200, 200, 200, 200, 200, 403, 200, 404, 403, 200, 200, 200]),
    row("revoke_tokens",        "", r#"{"organization":"{organization}","q":"minted"}"#,
                                                                       [401, 401, 401, 401, 404, 202, 202, 202, 202, 202, 403, 202, 404, 403, 202, 202, 202]),
    row("get_revoke_tokens",    "", "",                                [401, 401, 401, 401, 404, 404, 404, 404, 200, 200, 403, 200, 404, 403, 404, 404, 200]),
    row("create_revocation",    "", r#"{"organization":"{organization}"}"#,
                                                                       [401, 401, 401, 401, 404, 403, 403, 403, 201, 201, 403, 201, 404, 403, 403, 403, 201]),
    row("create_revocation",    "", r#"{"organization":"{organization}","user":"{email}"}"#,
                                                                       [401, 401, 401, 401, 404, 403, 403, 403, 201, 201, 403, 201, 404, 403, 403, 403, 201]),
    row("create_revocation",    "", r#"{"user":"{email}"}"#,           [401, 401, 401, 401, 403, 403, 403, 403, 403, 201, 403, 403, 403, 403, 403, 403, 201]),
    row("create_revocation",    "", r#"{"organization":"{organization}","dry_run":true}"#,
                                                                       [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),
    row("create_revocation",    "", r#"{"user":"{email}","dry_run":true}"#,
                                                                       [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 200]),

    row("list_revocations",     "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 200]),
    row("revocation_head",      "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 200]),
    row("revocation_snapshot",  "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 200]),
    row("get_revocation",       "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403]),
    row("stream_revocations",   "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 200]),

    row("get_statistics",       "?organization={organization}", "",    [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),
    row("get_statistics",       "", "",                                [401, 401, 401, 401, 200, 403, 403, 403, 200, 200, 403, 200, 200, 403, 403, 403, 200]),
    row("list_audit",           "?organization={organization}", "",    [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),
    row("list_audit",           "", "",                                [401, 401, 401, 401, 200, 403, 403, 403, 200, 200, 403, 200, 200, 403, 403, 403, 200]),
    row("export_audit",         "?organization={organization}", "",    [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),
    row("export_audit",         "", "",                                [401, 401, 401, 401, 200, 403, 403, 403, 200, 200, 403, 200, 200, 403, 403, 403, 200]),
    row("stream_audit",         "?organization={organization}", "",    [401, 401, 401, 401, 404, 403, 403, 403, 200, 200, 403, 200, 404, 403, 403, 403, 200]),
    row("stream_audit",         "", "",                                [401, 401, 401, 401, 200, 403, 403, 403, 200, 200, 403, 200, 200, 403, 403, 403, 200]),

    row("list_nodes",           "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403]),

    row("list_keys",            "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403]),
    row("rotate_key",           "", "{}",                              [401, 401, 401, 401, 403, 403, 403, 403, 403, 201, 403, 403, 403, 403, 403, 403, 403]),
    row("retire_key",           "", "{}",                              [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403]),
    row("revoke_key",           "", "{}",                              [401, 401, 401, 401, 403, 403, 403, 403, 403, 201, 403, 403, 403, 403, 403, 403, 403]),

    row("list_users",           "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403]),
    row("create_user",          "", r#"{"email":"new@example.com","password":"long enough"}"#,
                                                                       [401, 401, 401, 401, 403, 403, 403, 403, 403, 201, 403, 403, 403, 403, 403, 403, 403]),
    row("get_user",             "", "",                                [401, 401, 401, 401, 403, 403, 200, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403]),
    row("change_user",          "", r#"{"first_name":"Else"}"#,        [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403]),
    row("change_user",          "", r#"{"disabled":true,"dry_run":true}"#,
                                                                       [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403]),
    row("delete_user",          "", "",                                [401, 401, 401, 401, 403, 403, 403, 403, 403, 204, 403, 403, 403, 403, 403, 403, 403]),
    row("delete_user",          "?dry_run=true", "",                   [401, 401, 401, 401, 403, 403, 403, 403, 403, 200, 403, 403, 403, 403, 403, 403, 403]),
];

/// Callers from outside of the organization.
const STRANGERS: [&str; 2] = ["outsider", "foreign"];

/// An operation of the document.
pub(super) struct Operation {
    pub(super) id: String,
    method: Method,
    path: String,
    documented: BTreeSet<u16>,
    /// The examples of errors, by status.
    examples: BTreeMap<u16, Vec<Value>>,
    is_public: bool,
    takes_form: bool,
}

impl Operation {
    pub(super) fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    /// Returns whether errors have the format of RFC 6749.
    pub(super) fn is_oauth(&self) -> bool {
        self.path.starts_with("/oauth/")
    }

    /// Returns whether responses have no body.
    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }
}

/// Returns the examples of a JSON response.
fn examples(response: &Value) -> Vec<Value> {
    let content = &response["content"]["application/json"];
    let several = content["examples"].as_object().into_iter().flatten();
    let several = several.map(|(_, example)| example["value"].clone());
    let one = (!content["example"].is_null()).then(|| content["example"].clone());
    several.chain(one).collect()
}

pub(super) fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(jeton::http::document(Document::Native)).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            let Some(responses) = operation["responses"].as_object() else {
                continue;
            };
            found.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method,
                path: path.clone(),
                documented: responses.keys().map(|status| status.parse().unwrap()).collect(),
                examples: responses
                    .iter()
                    .filter(|(status, _)| status.starts_with(['4', '5']))
                    .map(|(status, response)| (status.parse().unwrap(), examples(response)))
                    .collect(),
                is_public: operation["security"] == json!([{}]),
                takes_form: operation["requestBody"]["content"]["application/x-www-form-urlencoded"]
                    .is_object(),
            });
        }
    }
    found
}

/// The callers and resources that requests name, created once and copied for every request.
pub(super) struct Stage {
    pub(super) app: TestApp,
    actors: Vec<Actor>,
    own: Minted,
    teams: Minted,
    members: Minted,
    deployments: Minted,
    /// The cursor of a revocation.
    event: String,
    /// The number of the member's session.
    session: String,
    /// A key that no caller depends on.
    key: String,
}

impl Stage {
    pub(super) async fn set() -> Self {
        let app = TestApp::new().await;
        let (admin, member) = (app.admin_of(&NORTH), app.member_of(&NORTH));
        let viewer = app.viewer_of(&NORTH).await;
        let site = format!("/organizations/{}/members/admin@example.com", NORTH.name);
        app.put(&admin, &site, json!({"role": "member"})).await.is(204);
        let short = json!({"organization": NORTH.name, "owner": "organization", "expires_in": "1m"});
        let expired = app.mint(&admin, short).await;
        app.clock.advance(61);
        let revoked = app.organization_token(&NORTH, &MANAGEMENT).await;
        let ended = app
            .post(&revoked.holder, "/tokens/current/revoke", json!({}))
            .await
            .is(201);
        let elsewhere = json!({"organization": NORTH.name, "owner": "organization",
            "audience": "https://elsewhere.example", "scopes": ["projects:read"]});
        // The first of its kind, with the number 1.
        let none = json!({"organization": NORTH.name, "q": "matches no token"});
        app.post(&admin, "/tokens/revoke", none).await.is(202);
        let actors = vec![
            app.anyone(),
            Actor::holding("eyJhbGciOiJFUzI1NiJ9.e30.AA"),
            expired.holder,
            revoked.holder,
            app.outsider(),
            viewer,
            member.clone(),
            app.team_admin(&NORTH),
            admin.clone(),
            app.site_admin(),
            app.organization_token(&NORTH, &["projects:read"]).await.holder,
            app.organization_token(&NORTH, &MANAGEMENT).await.holder,
            app.organization_token(&SOUTH, &MANAGEMENT).await.holder,
            app.mint(&admin, elsewhere).await.holder,
            app.team_token(&NORTH, &MANAGEMENT).await.holder,
            app.personal_token(&member, &NORTH, &MANAGEMENT).await.holder,
            app.deployment_token(&[&MANAGEMENT[..], &["revocations:read", "usage:write"]].concat())
                .await
                .holder,
        ];
        Self {
            key: app.needless_key().await,
            session: app.current_session(&member).await,
            own: app.organization_token(&NORTH, &["content:write"]).await,
            teams: app.team_token(&NORTH, &["content:write"]).await,
            members: app.personal_token(&member, &NORTH, &["content:write"]).await,
            deployments: app.deployment_token(&["content:write"]).await,
            event: ended.text_at("/revocation_cursor"),
            actors,
            app,
        }
    }

    /// Returns the caller of a column.
    pub(super) fn actor(&self, name: &str) -> &Actor {
        let place = CALLERS.iter().position(|caller| *caller == name).unwrap();
        &self.actors[place]
    }

    /// Returns the numbers of the tokens that rows name, by name.
    pub(super) fn tokens(&self) -> [(&'static str, &str); 3] {
        [
            ("own", &self.own.id),
            ("teams", &self.teams.id),
            ("members", &self.members.id),
        ]
    }

    fn fill(&self, text: &str, organization: &str) -> String {
        let login = json!({"email": SOUTH.email("member"), "password": password(&SOUTH.email("member"))});
        let jti = self.own.info["jti"].as_str().unwrap();
        text.replace("{organization}", organization)
            .replace("{list}", "1")
            .replace("{team}", NORTH.team)
            .replace("{email}", &NORTH.email("member"))
            .replace("{own}", jti)
            .replace("{secret}", &self.own.secret)
            .replace("{teams}", &self.teams.id)
            .replace("{members}", &self.members.id)
            .replace("{deployments}", &self.deployments.id)
            .replace("{cursor}", &self.event)
            .replace("{kid}", &self.key)
            .replace("{session}", &self.session)
            .replace("{login}", &login.to_string())
            .replace("{id}", &NORTH.project_id().to_string())
    }

    pub(super) fn request(
        &self,
        row: &Row,
        operation: &Operation,
        caller: usize,
        organization: &str,
    ) -> Request<Body> {
        let path = if operation.path.contains("/tokens/{id}") {
            operation.path.replace("{id}", row.target)
        } else {
            format!("{}{}", operation.path, row.target)
        };
        // The only address that is invited.
        let path = path.replace("/invitations/{email}", "/invitations/admin@example.com");
        if operation.takes_form {
            let path = self.fill(&path, organization);
            return form(&self.actors[caller], &path, &self.fill(row.body, organization));
        }
        let body = (!row.body.is_empty())
            .then(|| serde_json::from_str::<Value>(&self.fill(row.body, organization)).unwrap());
        let path = self.fill(&path, organization);
        request(&self.actors[caller], operation.method.clone(), &path, body)
    }

    /// Returns the texts that must not be disclosed outside of the organization.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = vec![
            NORTH.name.to_owned(),
            NORTH.id().to_owned(),
            NORTH.team.to_owned(),
            NORTH.team_id().to_owned(),
            NORTH.project.to_owned(),
        ];
        for token in [&self.own, &self.teams, &self.members, &self.deployments] {
            secrets.push(token.info["jti"].as_str().unwrap().to_owned());
        }
        secrets
    }
}

/// Sends every request of the table, each to a server of its own, and returns the unexpected responses.
async fn findings(stage: &Stage, table: &[Row], change: fn(Router) -> Router) -> Vec<String> {
    let mut findings = Vec::new();
    let operations = operations();
    for operation in &operations {
        if !table.iter().any(|row| row.operation == operation.id) {
            let id = &operation.id;
            findings.push(format!(
                "{id} has no row: add one to TABLE that says who may do it"
            ));
        }
    }
    let mut forbidden = BTreeMap::<&str, Vec<Value>>::new();
    for row in table {
        let Some(operation) = operations.iter().find(|operation| operation.id == row.operation) else {
            findings.push(format!("there is no operation {}", row.operation));
            continue;
        };
        for (caller, name) in CALLERS.iter().enumerate() {
            let app = stage.app.twin().await;
            let router = change(app.router());
            let ask = async |organization| {
                let request = stage.request(row, operation, caller, organization);
                Answer::read(router.clone().oneshot(request).await.unwrap()).await
            };
            let answer = ask(NORTH.name).await;
            let what = format!("{} {} by {name}", row.operation, row.target);
            let (status, expected) = (answer.status, row.expected[caller]);
            if status != expected {
                findings.push(format!("{what}: {status} and not {expected}: {}", answer.text));
            }
            if !operation.documented.contains(&status) {
                findings.push(format!("{what}: {status} is not documented"));
            }
            if status >= 400 && !operation.is_head() {
                let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
                let examples = operation.examples.get(&status).cloned().unwrap_or_default();
                if !examples.contains(&body) {
                    findings.push(format!("{what}: {body} is no example of {status}"));
                }
                if status == 403 {
                    forbidden.entry(&operation.id).or_default().push(body);
                }
            }
            if STRANGERS.contains(name) {
                for secret in stage.secrets() {
                    if answer.text.contains(&secret) || format!("{:?}", answer.headers).contains(&secret) {
                        findings.push(format!("{what}: shows {secret}: {}", answer.text));
                    }
                }
                // Resources of another organization and unknown ones get the same response.
                if status == 404 && operation.path.contains("{organization}") {
                    let absent = ask("there-is-none").await;
                    if (absent.status, &absent.text) != (status, &answer.text) {
                        findings.push(format!("{what}: an absent one is answered with {}", absent.text));
                    }
                }
            }
        }
    }
    for operation in operations.iter().filter(|operation| !operation.is_head()) {
        let Some(seen) = forbidden.get(&*operation.id) else {
            continue;
        };
        for example in operation.examples.get(&403).into_iter().flatten() {
            // No row sends a password.
            if !seen.contains(example) && example["code"] != "wrong_password" {
                let id = &operation.id;
                findings.push(format!("{id}: nobody gets the example {example} of 403"));
            }
        }
    }
    findings
}

#[tokio::test]
async fn everybody_may_do_what_the_table_says_and_nothing_else() {
    let stage = Stage::set().await;
    let findings = findings(&stage, &rows(), |router| router).await;
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[tokio::test]
async fn the_checker_finds_a_missing_permission_and_a_leak() {
    use axum::Json;
    use axum::routing::get;

    let stage = Stage::set().await;
    let open = |router: Router| {
        Router::new()
            .route("/api/v1/users", get(async || Json(json!({"items": []}))))
            .route(
                "/api/v1/organizations/{organization}",
                get(async || Json(json!({"id": NORTH.id()}))),
            )
            .fallback_service(router)
    };
    let chosen: Vec<Row> = rows()
        .into_iter()
        .filter(|row| ["list_users", "get_organization"].contains(&&*row.operation))
        .collect();
    let found = findings(&stage, &chosen, open).await;
    for expected in [
        "list_users  by nobody: 200 and not 401",
        "list_users  by member: 200 and not 403",
        "get_organization  by outsider: 200 and not 404",
        "get_organization  by outsider: shows",
        "create_token has no row",
    ] {
        assert!(
            found.iter().any(|finding| finding.starts_with(expected)),
            "{expected}: {found:#?}"
        );
    }
}

#[tokio::test]
async fn whatever_is_not_public_asks_for_a_credential_first() {
    let app = TestApp::new().await;
    let public: BTreeSet<String> = operations()
        .into_iter()
        .filter(|operation| operation.is_public)
        .map(|operation| operation.id)
        .collect();
    assert_eq!(
        public.into_iter().collect::<Vec<_>>(),
        [
            "health",
            "jwks",
            "login",
            "metadata",
            "openid_configuration",
            "readiness",
            "revoke_presented_token",
            "set_up",
            "show_setup",
            "status_list",
            "status_lists"
        ]
    );
    let elsewhere = json!({"organization": NORTH.name, "owner": "organization",
        "audience": "https://elsewhere.example", "scopes": ["projects:read"]});
    let elsewhere = app.mint(&app.admin_of(&NORTH), elsewhere).await.holder;
    for operation in operations().iter().filter(|operation| !operation.is_public) {
        // The path names nothing that exists and the body is not JSON, but the credential is checked
        // first.
        let path = operation.path.replace('{', "%00").replace('}', "");
        let bad_body = Some(Value::from("x"));
        let answer = app
            .call(&app.anyone(), operation.method.clone(), &path, bad_body)
            .await;
        let code = match (operation.is_head(), operation.is_oauth()) {
            (true, _) => "",
            (false, true) => "invalid_client",
            (false, false) => "not_authenticated",
        };
        let answer = answer.fails(401, code);
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"jeton\"",
            "{}",
            operation.id
        );
        // A token may inspect itself, so that the body is read first.
        if !operation.path.contains("current") && operation.id != "inspect_token" {
            let refusal = if operation.is_oauth() { 401 } else { 403 };
            app.call(&elsewhere, operation.method.clone(), &path, None)
                .await
                .is(refusal);
        }
    }
}
