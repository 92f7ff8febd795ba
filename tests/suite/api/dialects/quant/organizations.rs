//! `GET /api/v2/organizations` and `/{organization}`.

use serde_json::{Value, json};

use crate::api::dialects::quant::SURFACE as QUANT;
use crate::harness::{Actor, NORTH, TestApp};

#[tokio::test]
async fn organizations_are_a_plain_list_of_two_names() {
    let app = TestApp::new().await;
    let listed = async |actor: Actor| {
        let list = QUANT.get(&app, &actor, "/api/v2/organizations").await;
        list.is(200).json()
    };
    let north = json!({"name": NORTH.name, "machine_name": NORTH.name});
    assert_eq!(listed(app.member_of(&NORTH)).await, json!([north]));
    let all = listed(app.site_admin()).await;
    let names: Vec<_> = all.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["default", "northwind", "southgate"]);
}

#[tokio::test]
async fn a_list_of_more_than_one_part_is_whole() {
    let app = TestApp::new().await;
    let site = app.site_admin();
    for number in 0..251 {
        let name = json!({"name": format!("one-of-many-{number}")});
        app.post(&site, "/organizations", name).await.is(201);
    }
    let all = QUANT
        .get(&app, &site, "/api/v2/organizations")
        .await
        .is(200)
        .json();
    let mut names: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 254);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 254, "one is there twice");
}

#[tokio::test]
async fn an_organization_has_every_documented_field() {
    let app = TestApp::new().await;
    let member = app.member_of(&NORTH);
    for organization in [NORTH.name, NORTH.id()] {
        let path = format!("/api/v2/organizations/{organization}");
        let shown = QUANT.get(&app, &member, &path).await.is(200).json();
        let fields: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        let mut documented = [
            "name",
            "machine_name",
            "type",
            "region",
            "subscription",
            "created_at",
            "updated_at",
        ];
        documented.sort_unstable();
        assert_eq!(fields, documented);
        assert_eq!(shown["machine_name"], NORTH.name);
        assert!(shown["created_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(shown["region"], Value::Null);
    }
}
