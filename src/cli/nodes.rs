//! `jeton nodes`: lists the servers of the deployment.

use std::fmt::Write;

use super::deployment::Deployment;
use super::{Failure, output};
use crate::authority::NodeList;
use crate::config::Config;
use jeton_store::NodeState;

pub(super) fn run(config: &Config) -> Result<(), Failure> {
    super::runtime()?.block_on(async {
        let deployment = Deployment::existing(config).await?;
        // This command signs no token, so the authority needs no issuer.
        let authority = deployment.authority(config, String::new())?;
        output::print(&table(&authority.operator_lists_nodes().await?))
    })
}

fn table(list: &NodeList) -> String {
    let Some(durability) = list.durability else {
        return "a database file has one server, and no list of servers".to_owned();
    };
    let mut text = format!(
        "{:<36}  {:<20}  {:<9}  {:<7}  {:>10}  {:<24}  {}",
        "ID", "NAME", "VERSION", "CURRENT", "SEQUENCE", "RENEWED AT", "EPOCH"
    );
    for state in &list.nodes {
        let NodeState {
            node,
            renewed_at,
            is_current,
        } = state;
        let current = match is_current {
            true => "yes",
            false => "no",
        };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n{}  {:<20}  {:<9}  {current:<7}  {:>10}  {:<24}  {}",
            node.id,
            node.name,
            node.version,
            node.position.sequence,
            renewed_at.to_string(),
            node.position.epoch,
        );
    }
    let _ = write!(text, "\ndurability: {}", durability.as_str());
    text
}
