//! `jeton keys`: make and list signing keys.

use std::fmt::Write;

use clap::Subcommand;

use super::deployment::Deployment;
use super::{Failure, output};
use crate::config::Config;
use crate::keys::add_key;
use crate::store::{KeyState, Keys};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key of the configured algorithm, publish it, and print its id
    Generate,
    /// Print every key: its id, algorithm, state and age
    List,
}

pub(super) fn run(command: Command, config: &Config) -> Result<(), Failure> {
    super::runtime()?.block_on(async {
        let deployment = Deployment::open(config).await?;
        match command {
            Command::Generate => generate(config, &deployment).await,
            Command::List => list(&deployment).await,
        }
    })
}

/// A new key is published and does not sign yet: verifiers may keep a JWKS without it for a while.
async fn generate(config: &Config, deployment: &Deployment) -> Result<(), Failure> {
    let Deployment {
        store,
        directory,
        index,
        clock,
        ..
    } = deployment;
    let algorithm = config.keys.algorithm;
    let key = add_key(
        &**store,
        directory,
        algorithm,
        KeyState::Published,
        index.generation(),
        clock.now(),
    )
    .await?;
    output::print(&key.kid)
}

async fn list(deployment: &Deployment) -> Result<(), Failure> {
    let mut text = format!("{:<43}  {:<9}  {:<9}  {}", "KID", "ALGORITHM", "STATE", "SINCE");
    for key in deployment.store.keys().await? {
        let state = key.state.as_str();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n{:<43}  {:<9}  {state:<9}  {}",
            key.kid,
            key.algorithm.name(),
            key.changed_at
        );
    }
    output::print(&text)
}
