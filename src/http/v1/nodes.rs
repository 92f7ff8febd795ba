//! The servers of the deployment: `/nodes`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::authority::NodeList;
use crate::http::caller::{Caller, LoggedIn};
use crate::http::domain_types::{self, Word};
use crate::http::input::Input;
use crate::http::routes::routes;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_store::{Durability, Node, NodeState};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A server of the deployment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
struct NodeInfo {
    /// The id, drawn at its start.
    id: Uuid,
    /// The name of its machine.
    #[schema(example = "jeton-1")]
    name: String,
    /// The version of the program.
    #[schema(example = "0.2.0")]
    version: String,
    /// The position in the revocation feed up to which it knew all events at `renewed_at`.
    position: NodePosition,
    /// When it last renewed its lease, by the clock of the database.
    #[schema(value_type = domain_types::Instant)]
    renewed_at: Timestamp,
    /// Whether its lease lasts: it answers for revocations. A server that has stopped or is cut off does not.
    is_current: bool,
}

/// A position in the revocation feed.
#[derive(Debug, Serialize, ToSchema)]
struct NodePosition {
    /// The history of the feed. A restore begins another.
    epoch: Uuid,
    /// The sequence number of the last event that it knew.
    #[schema(example = 412)]
    sequence: u64,
}

impl From<NodeState> for NodeInfo {
    fn from(state: NodeState) -> Self {
        let NodeState {
            node,
            renewed_at,
            is_current,
        } = state;
        let Node {
            id,
            name,
            version,
            position,
        } = node;
        Self {
            id,
            name,
            version,
            position: NodePosition {
                epoch: position.epoch,
                sequence: position.sequence,
            },
            renewed_at,
            is_current,
        }
    }
}

/// The servers of the deployment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Nodes)]
struct NodesInfo {
    /// The servers, sorted by name.
    items: Vec<NodeInfo>,
    /// Where the database has what is acknowledged; `null` with a database file.
    #[schema(value_type = Option<domain_types::DurabilityWord>, required = true)]
    durability: Option<Word<Durability>>,
}

/// List the servers of the deployment
///
/// Returns the servers that renewed their leases within the last hour, with PostgreSQL; with a database file, which has one
/// server, the list is empty. A revocation is known to all servers once each with `is_current` has passed the position of
/// its `revocation_cursor`. Only for site administrators.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "operations", operation_id = "list_nodes",
    responses((status = OK, description = "The servers", body = NodesInfo),
              (status = FORBIDDEN, description = "Only site administrators may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn list(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    _: Input,
) -> Result<Json<NodesInfo>, Failure> {
    let NodeList { durability, nodes } = app.authority.nodes(&caller).await?;
    Ok(Json(NodesInfo {
        items: nodes.into_iter().map(NodeInfo::from).collect(),
        durability: durability.map(Word),
    }))
}
