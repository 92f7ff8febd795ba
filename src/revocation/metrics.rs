//! Metrics of the revocation index.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::revocation::index::Index;
use jeton_core::token::Reach;
use jeton_store::Change;
use jeton_store::metrics::{Labelled, gauge};

/// The names of what a cut-off can reach.
const REACHES: [&str; 6] = ["all", "key", "organization", "project", "team", "user"];

/// What this process has committed.
#[derive(Debug)]
pub(super) struct Metrics {
    cut_offs: Labelled<Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let cut_offs = Labelled::<Counter>::default();
        for reach in REACHES {
            let _ = cut_offs.get_or_create_owned(&[("reach", reach)]);
        }
        Self { cut_offs }
    }
}

impl Metrics {
    /// Counts the cut-offs among changes that this process has committed.
    pub(super) fn committed(&self, changes: &[Change]) {
        for change in changes {
            if let Change::CutOff { cut_off, .. } = change {
                self.cut_offs
                    .get_or_create(&[("reach", name(&cut_off.reach))])
                    .inc();
            }
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_cut_offs",
            "Cut-offs recorded by this process, by the narrowest thing that they name",
            self.cut_offs.clone(),
        );
    }
}

/// Returns the narrowest thing that a cut-off names.
fn name(reach: &Reach) -> &'static str {
    match reach {
        Reach { kid: Some(_), .. } => "key",
        Reach { project: Some(_), .. } => "project",
        Reach { user: Some(_), .. } => "user",
        Reach { team: Some(_), .. } => "team",
        Reach {
            organization: Some(_),
            ..
        } => "organization",
        Reach { .. } => "all",
    }
}

/// What is read when metrics are collected.
#[derive(Debug)]
pub(super) struct Gauges(pub(super) Arc<Index>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let Self(index) = self;
        if let Some(reached) = index.reached() {
            gauge(
                encoder,
                "jeton_feed_sequence",
                "Number of the last event of the revocation feed",
                reached.sequence,
            )?;
        }
        gauge(
            encoder,
            "jeton_status_lists",
            "Status lists that are published",
            index.known_lists().len(),
        )?;
        gauge(
            encoder,
            "jeton_status_list_cut_offs_waiting",
            "Cut-offs whose tokens are not all marked in the status lists; these wait for them",
            index.backlog.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_off_is_counted_by_the_narrowest_thing_that_it_names() {
        let organization = Some(jeton_core::directory::OrganizationId(uuid::Uuid::nil()));
        let all = Reach::default();
        let in_organization = Reach {
            organization,
            ..Reach::default()
        };
        let project = Reach {
            project: Some(7),
            ..in_organization.clone()
        };
        let names = [&all, &in_organization, &project].map(name);
        assert_eq!(names, ["all", "organization", "project"]);
        assert!(names.iter().all(|name| REACHES.contains(name)));
    }
}
